package bench

import (
	"bytes"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/sluice-lb/sluice/lb"
)

var (
	vipsV4 = []netip.AddrPort{netip.MustParseAddrPort("198.51.100.10:443"), netip.MustParseAddrPort("198.51.100.11:80")}
	vipsV6 = []netip.AddrPort{netip.MustParseAddrPort("[2001:db8:51::10]:443"), netip.MustParseAddrPort("[2001:db8:51::11]:80")}
)

func mustGenerate(t testing.TB, o FlowOptions) *Stream {
	t.Helper()
	vips := vipsV4
	if o.Family == IPv6 {
		vips = vipsV6
	}
	s, err := Generate(o, vips)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// head limits a stream to its first frames: a walk needs no more.
func (s *Stream) head(n int) *Stream {
	c := *s
	if c.whole != nil {
		c.whole, c.frames = c.whole[:n], c.frames[:n]
	} else {
		c.packets = c.packets[:n]
	}
	return &c
}

// streams are one of every kind that the replayer treats differently.
func streams(t *testing.T) map[string]*Stream {
	out := map[string]*Stream{}
	for _, family := range []Family{IPv4, IPv6} {
		for _, protocol := range lb.Protocols {
			o := FlowOptions{Flows: 300, SYN: 0.3, Sizes: []int{80, 128, 333, MaxFrame}, Family: family, Protocol: protocol}
			out[protocol.String()+"-ipv"+family.String()] = mustGenerate(t, o).head(500)
		}
	}
	for _, name := range []string{"echo-v4", "echo-v6", "udp", "mixed"} {
		c, err := ReadCapture(filepath.Join("..", "testdata", name+".pcap"))
		if err != nil {
			t.Fatal(err)
		}
		if out[name], err = c.Unchanged(); err != nil {
			t.Fatal(err)
		}
	}
	// Recorded lengths on both sides of every boundary in the copying code.
	lengths := &Stream{Name: "lengths"}
	for n := MinFrame; n < 2*frameBytes; n++ {
		frame := make([]byte, n)
		for i := range frame[:min(n, frameBytes)] {
			frame[i] = byte(i*7 + n)
		}
		lengths.add(frame, Mixed)
	}
	out["lengths"] = lengths
	return out
}

func TestEveryFrameIsLaidAsItIs(t *testing.T) {
	program := mustProgram(t, Forms[0], returning(lb.ActionPass))
	for name, s := range streams(t) {
		t.Run(name, func(t *testing.T) {
			err := Walk(Target{Program: program}, s, func(step Step) error {
				if step.Action != lb.ActionPass {
					t.Fatalf("frame %d: action %s, want pass", step.Place, step.Action)
				}
				if !bytes.Equal(step.In, step.Out) {
					t.Fatalf("frame %d\nwant %x\ngot  %x", step.Place, step.In, step.Out)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestReplayRestoresWhatTheProgramMoved(t *testing.T) {
	for _, grown := range []int{0, 8, 20, 40, 128} {
		program := mustProgram(t, Forms[0], moving(asm.FnXdpAdjustHead, int32(-grown)))
		for name, s := range streams(t) {
			checkRestored(t, name, s, program, grown)
		}
	}
}

func checkRestored(t *testing.T, name string, s *Stream, program *ebpf.Program, grown int) {
	t.Helper()
	r, err := newReplayer(s, Forms[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.aim(program); err != nil {
		t.Fatal(err)
	}
	// A prime step ends on a different frame in every stream; the last lap is not whole.
	repeat := uint32(s.Len() + 61)
	out := make([]byte, MaxFrame+256)
	_, left, handled, err := r.show(0, repeat, out)
	if err != nil {
		t.Fatalf("%s, growing by %d: %v", name, grown, err)
	}
	if handled.Laid != uint64(repeat) {
		return // a signal interrupted the run, so that the last frame is not known
	}
	want := s.Frame(int(repeat-1) % s.Len())
	if got := left[grown:]; string(got) != string(want) {
		t.Errorf("%s, growing by %d: frame %d\nwant %x\ngot  %x", name, grown, repeat-1, want, got)
	}
}

func TestReplayFailsWhenTheBufferIsLost(t *testing.T) {
	s := mustGenerate(t, FlowOptions{Flows: 10, Sizes: []int{128}, Family: IPv4, Protocol: lb.TCP})
	program := mustProgram(t, Forms[0], moving(asm.FnXdpAdjustTail, -8))
	_, err := Replay(t.Context(), Target{Name: "shrinking", Program: program}, s, Options{CPU: -1})
	if err == nil || !strings.Contains(err.Error(), "could not be restored") {
		t.Fatalf("replay of a program that cuts frames: got error %v, want one that says so", err)
	}
}

func TestEveryFormFits(t *testing.T) {
	for _, form := range Forms {
		if form.Frags && kernelBefore(t, 5, 18) {
			continue // the kernel knows no frames in fragments
		}
		got, err := fit(mustProgram(t, form, returning(lb.ActionPass)))
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		// Where the kernel does not tell expected attach types apart, the first that fits is named.
		if got.Frags != form.Frags {
			t.Errorf("%s: fitted as %s", form, got)
		}
	}
}

func TestReplayReportsTimes(t *testing.T) {
	s := mustGenerate(t, FlowOptions{Flows: 100, Sizes: []int{128}, Family: IPv4, Protocol: lb.TCP})
	program := mustProgram(t, Forms[0], moving(asm.FnXdpAdjustHead, -20))
	r, err := Replay(t.Context(), Target{Name: "grow", Program: program}, s, Options{Rounds: MinRounds, Repeat: MinRepeat, CPU: -1})
	if err != nil {
		t.Fatal(err)
	}
	frames := uint64((MinRounds + 1) * MinRepeat)
	if r.Buffer.Laid < frames || r.Buffer.Resized != 0 {
		t.Errorf("buffer: got %+v, want %d laid and none resized", r.Buffer, frames)
	}
	// All but the first frame of each round follow one whose head was moved.
	if want := r.Buffer.Laid - MinRounds - 1; r.Buffer.Restored != want {
		t.Errorf("restored %d times, want %d", r.Buffer.Restored, want)
	}
	for name, timing := range map[string]Timing{"empty": r.Empty, "floor": r.Floor, "program": r.Program} {
		if len(timing.Rounds) != MinRounds || timing.Min > timing.Midmean || timing.Midmean > timing.Max {
			t.Errorf("%s: implausible timing %+v", name, timing)
		}
	}
}
