package lb

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// testSeed is a seed that differs for every n.
func testSeed(n int) Seed {
	var s Seed
	for i := range s {
		s[i] = byte(n>>(8*(i%4))) ^ byte(i*31)
	}
	return s
}

// testPool is a normalized pool of n backends of weight 100. slots 0 is the default size.
func testPool(n int, slots uint32) Pool {
	p := Pool{Name: "web", Slots: slots}
	for i := range n {
		p.Backends = append(p.Backends, Backend{
			Name: fmt.Sprintf("web-%04d", i), Address: netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}),
			Weight: DefaultWeight, Scale: ScaleOne,
		})
	}
	return p
}

// withScale copies p and sets the scale of some backends.
func withScale(p Pool, scale Scale, backends ...int) Pool {
	p.Backends = slices.Clone(p.Backends)
	for _, i := range backends {
		p.Backends[i].Scale = scale
	}
	return p
}

// maxOverAverage is the largest number of slots of a backend over the average of those that are wanted.
func maxOverAverage(t *testing.T, table *Table, p Pool) float64 {
	t.Helper()
	counts, empty := table.Counts(len(p.Backends))
	if empty != 0 {
		t.Fatalf("%d empty slots", empty)
	}
	in := 0
	for i, b := range p.Backends {
		if b.EffectiveWeight() > 0 {
			in++
		} else if counts[i] != 0 {
			t.Fatalf("backend %s takes no flows and owns %d slots", b.Name, counts[i])
		}
	}
	return float64(slices.Max(counts)) * float64(in) / float64(len(table.Owners))
}

// TestBalance holds the largest share. All in, Maglev is near perfect; what the overlay displaces is spread at random, so
// that the limits of those rows are those of a Poisson distribution: with 1 of 100 out, 6.6 slots more on average, 14 for
// the luckiest.
func TestBalance(t *testing.T) {
	const seeds = 12
	for _, row := range []struct {
		name          string
		backends, out int
		slots         uint32
		limit         float64 // of the mean over the seeds
	}{
		{"10-all-in", 10, 0, 65536, 1.001},
		{"100-all-in", 100, 0, 65536, 1.01},
		{"1000-all-in", 1000, 0, 65536, 1.01},
		{"1000-all-in-default-size", 1000, 0, 0, 1.01},
		{"100-1-out", 100, 1, 65536, 1.0125},
		{"100-5-out", 100, 5, 65536, 1.025},
		{"100-20-out", 100, 20, 65536, 1.045},
		{"1000-1-out", 1000, 1, 65536, 1.045},
		{"1000-50-out-default-size", 1000, 50, 0, 1.055},
	} {
		t.Run(row.name, func(t *testing.T) {
			sum := 0.0
			for n := range seeds {
				var out []int
				for i := range row.out {
					out = append(out, i*row.backends/row.out)
				}
				p := withScale(testPool(row.backends, row.slots), 0, out...)
				sum += maxOverAverage(t, BuildTable(testSeed(n), p), p)
			}
			mean := sum / seeds
			t.Logf("max/avg %.4f", mean)
			if mean > row.limit {
				t.Errorf("max/avg %.4f, want at most %.4f", mean, row.limit)
			}
		})
	}
}

// TestShares compares slots with exact shares, for weights and scales drawn at random.
func TestShares(t *testing.T) {
	for n := range 60 {
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		backends := 1 + rng.IntN(64)
		p := testPool(backends, 0)
		for i := range p.Backends {
			p.Backends[i].Weight = uint32(rng.IntN(200))
		}
		p.Backends[0].Weight = 1 + uint32(rng.IntN(MaxWeight))
		table := BuildTable(testSeed(n), p)
		counts, empty := table.Counts(backends)
		if empty != 0 {
			t.Fatalf("case %d: %d empty slots", n, empty)
		}
		var sum uint64
		for _, b := range p.Backends {
			sum += uint64(b.Weight)
		}
		for i, b := range p.Backends {
			want := float64(len(table.Owners)) * float64(b.Weight) / float64(sum)
			if diff := float64(counts[i]) - want; diff > 1+want/100 || diff < -1-want/100 {
				t.Errorf("case %d: backend %d of weight %d owns %d slots, its share is %.1f", n, i, b.Weight, counts[i], want)
			}
		}
	}
}

// TestScaledShares checks the overlay's shares: statistical, so within 5 standard deviations of what is displaced.
func TestScaledShares(t *testing.T) {
	p := testPool(16, 65536)
	scales := []Scale{1000, 500, 2000, 0, 1000, 100, 1500, 900, 1100, 1000, 1000, 333, 3000, 10, 1000, 750}
	sum := 0.0
	for i, s := range scales {
		p.Backends[i].Scale = s
		p.Backends[i].Weight = uint32(50 + 10*i)
		sum += float64(s) * float64(50+10*i)
	}
	for n := range 8 {
		counts, _ := BuildTable(testSeed(n), p).Counts(16)
		for i, b := range p.Backends {
			want := 65536 * float64(b.Scale) * float64(b.Weight) / sum
			if diff := float64(counts[i]) - want; diff*diff > 25*(want+1) {
				t.Errorf("seed %d: backend %d owns %d slots, its share is %.1f", n, i, counts[i], want)
			}
		}
	}
}

// TestOutAndBack takes each of some backends out and back in: just its slots move, and all of them return.
func TestOutAndBack(t *testing.T) {
	seed := testSeed(1)
	for _, size := range []int{2, 7, 100, 400} {
		p := testPool(size, 0)
		rng := rand.New(rand.NewPCG(2, uint64(size)))
		for i := range p.Backends {
			p.Backends[i].Weight = 1 + uint32(rng.IntN(300))
		}
		all := BuildTable(seed, p)
		for _, gone := range []int{0, size / 2, size - 1} {
			without := BuildTable(seed, withScale(p, 0, gone))
			for s, owner := range all.Owners {
				now := without.Owners[s]
				if int(owner) == gone && (int(now) == gone || now == NoOwner) {
					t.Fatalf("%d backends: slot %d stays with backend %d, which is out", size, s, gone)
				}
				if int(owner) != gone && now != owner {
					t.Fatalf("%d backends: slot %d moves from %d to %d although %d went", size, s, owner, now, gone)
				}
			}
			back := BuildTable(seed, withScale(p, ScaleOne, gone))
			if back.Digest() != all.Digest() || !slices.Equal(back.Owners, all.Owners) {
				t.Fatalf("%d backends: the table differs after backend %d came back", size, gone)
			}
		}
	}
}

// TestScaleMonotone lowers one backend's scale step by step: it only ever loses slots, nobody else does, and slots that
// left do not move again.
func TestScaleMonotone(t *testing.T) {
	seed := testSeed(3)
	p := testPool(50, 0)
	for i := range p.Backends {
		p.Backends[i].Weight = uint32(10 + i)
	}
	const scaled = 20
	before := BuildTable(seed, p)
	for scale := ScaleOne; ; scale -= 50 {
		after := BuildTable(seed, withScale(p, scale, scaled))
		for s := range before.Owners {
			if was, is := before.Owners[s], after.Owners[s]; was != is && was != scaled {
				t.Fatalf("scale %d: slot %d moves from %d to %d", scale, s, was, is)
			}
		}
		before = after
		if scale == 0 {
			break
		}
	}
}

// TestSecondFailure takes two backends out, one after the other: the second moves only slots that it owned.
func TestSecondFailure(t *testing.T) {
	seed := testSeed(4)
	p := testPool(40, 0)
	first := BuildTable(seed, withScale(p, 0, 5))
	both := BuildTable(seed, withScale(p, 0, 5, 30))
	for s := range first.Owners {
		if was, is := first.Owners[s], both.Owners[s]; was != is && was != 30 {
			t.Fatalf("slot %d moves from %d to %d", s, was, is)
		}
	}
}

// TestUniformScale scales all backends alike: no share changes, so nothing moves.
func TestUniformScale(t *testing.T) {
	p := testPool(30, 0)
	all := BuildTable(testSeed(5), p)
	for i := range p.Backends {
		p.Backends[i].Scale = 125
	}
	if BuildTable(testSeed(5), p).Digest() != all.Digest() {
		t.Error("the table depends on a scale that is common to all")
	}
}

// TestAddAndRemove bounds what a new base moves: at most 1 % of slots beyond the necessary ones at 65536 slots.
func TestAddAndRemove(t *testing.T) {
	for _, size := range []int{10, 100, 400} {
		with, without := testPool(size, 65536), testPool(size, 65536)
		without.Backends = slices.Delete(without.Backends, size/2, size/2+1)
		a, b := BuildTable(testSeed(6), with), BuildTable(testSeed(6), without)
		moved := slotsMoved(with, without, a, b)
		necessary, _ := a.Counts(size)
		extra := float64(moved-necessary[size/2]) / 65536
		t.Logf("%d backends: %d slots necessary, %d moved", size, necessary[size/2], moved)
		if extra < 0 || extra > 0.01 {
			t.Errorf("%d backends: %d slots moved, %d were necessary", size, moved, necessary[size/2])
		}
	}
}

func TestNothingToChoose(t *testing.T) {
	one := testPool(1, 0)
	unweighted := testPool(3, 0)
	for i := range unweighted.Backends {
		unweighted.Backends[i].Weight = 0
	}
	for _, row := range []struct {
		name  string
		pool  Pool
		empty bool
	}{
		{"no-backends", testPool(0, 0), true},
		{"all-weights-zero", unweighted, true},
		{"all-scales-zero", withScale(testPool(3, 0), 0, 0, 1, 2), true},
		{"one-backend-out", withScale(one, 0, 0), true},
		{"one-backend-scaled-down", withScale(one, 1, 0), false},
		{"last-backend-in", withScale(testPool(3, 0), 0, 0, 2), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			table := BuildTable(testSeed(7), row.pool)
			_, empty := table.Counts(len(row.pool.Backends))
			want := 0
			if row.empty {
				want = len(table.Owners)
			}
			if empty != want || len(table.Owners) != MinSlots {
				t.Errorf("%d of %d slots are empty, want %d", empty, len(table.Owners), want)
			}
		})
	}
}

// TestExtremes builds tables at the limits of all values: products must not overflow.
func TestExtremes(t *testing.T) {
	p := testPool(MaxBackends, 0)
	for i := range p.Backends {
		p.Backends[i].Weight = MaxWeight
		p.Backends[i].Scale = MaxScale
	}
	p = withScale(p, 1, 0)
	counts, empty := BuildTable(testSeed(8), p).Counts(MaxBackends)
	if empty != 0 || counts[0] > 2 || slices.Min(counts[1:]) < 200 || slices.Max(counts) > 320 {
		t.Errorf("empty %d, scaled down %d, least %d, most %d", empty, counts[0], slices.Min(counts[1:]), slices.Max(counts))
	}
	p = testPool(MaxBackends, 0)
	for i := range p.Backends {
		p.Backends[i].Weight = 1
	}
	p.Backends[500].Weight = MaxWeight
	counts, _ = BuildTable(testSeed(8), p).Counts(MaxBackends)
	if share := MaxSlots * MaxWeight / (MaxWeight + MaxBackends - 1); counts[500] < share*99/100 || counts[500] > share*101/100 {
		t.Errorf("one heavy backend owns %d slots, want about %d", counts[500], share)
	}
}

// TestOrderIndependence shuffles the document and changes addresses: the table stays.
func TestOrderIndependence(t *testing.T) {
	p := withScale(testPool(25, 0), 300, 4, 9)
	want := BuildTable(testSeed(9), p).Digest()
	shuffled := Config{Pools: []Pool{{Name: "web", Backends: slices.Clone(p.Backends)}}}
	rand.New(rand.NewPCG(3, 3)).Shuffle(25, func(i, j int) {
		b := shuffled.Pools[0].Backends
		b[i], b[j] = b[j], b[i]
	})
	for i := range shuffled.Pools[0].Backends {
		shuffled.Pools[0].Backends[i].Address = netip.AddrFrom4([4]byte{10, 1, 1, byte(i)})
	}
	if got := BuildTable(testSeed(9), shuffled.Normalize().Pools[0]).Digest(); got != want {
		t.Errorf("digest %016x, want %016x", got, want)
	}
	if BuildTable(testSeed(10), p).Digest() == want {
		t.Error("the seed makes no difference")
	}
}

// TestGoldenDigests pins tables down: nodes of different releases must agree. A change here moves flows at an upgrade.
func TestGoldenDigests(t *testing.T) {
	weighted := testPool(20, 8192)
	for i := range weighted.Backends {
		weighted.Backends[i].Weight = uint32(1 + i*i)
	}
	for _, row := range []struct {
		name string
		pool Pool
		want uint64
	}{
		{"equal", testPool(3, 0), 0xe1bcd94f54d5430c},
		{"weighted", weighted, 0x1c141a093494ee80},
		{"scaled", withScale(withScale(weighted, 250, 7, 19), 1333, 3), 0xa1eabf15e6c3f676},
		{"large", withScale(testPool(1000, 65536), 0, 1, 10, 100), 0x6b2865894563fa7c},
		{"empty", testPool(0, 0), 0xefc53163a530c27c},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := BuildTable(testSeed(0), row.pool).Digest(); got != row.want {
				t.Errorf("digest %#016x, want %#016x", got, row.want)
			}
		})
	}
}

func TestWords(t *testing.T) {
	table := &Table{Owners: []uint16{0, 1, NoOwner, 1}}
	words := make([]uint32, 4)
	table.Words([]uint32{7, MaxBackendIndex}, words)
	if want := []uint32{7, MaxBackendIndex, 0, MaxBackendIndex}; !slices.Equal(words, want) {
		t.Errorf("words %v, want %v", words, want)
	}
}

func TestBuildTableAllocates(t *testing.T) {
	small, large := testPool(100, 32768), withScale(testPool(100, 262144), 0, 1, 2, 3, 4, 5)
	few := testing.AllocsPerRun(1, func() { BuildTable(Seed{}, small) })
	many := testing.AllocsPerRun(1, func() { BuildTable(Seed{}, large) })
	if many > few+20 {
		t.Errorf("%v allocations for 262144 slots, %v for 32768: some are per slot", many, few)
	}
}

func BenchmarkBuildTable(b *testing.B) {
	share := func(n, percent int) []int {
		var out []int
		for i := range n * percent / 100 {
			out = append(out, i*100/percent)
		}
		return out
	}
	uneven := testPool(1000, 65536)
	for i := range uneven.Backends {
		uneven.Backends[i].Weight = uint32(1 + i%10)
	}
	for _, row := range []struct {
		name string
		pool Pool
	}{
		{"16x4096", testPool(16, 4096)},
		{"100x65536", testPool(100, 65536)},
		{"1000x65536", testPool(1000, 65536)},
		{"1000x65536-1-percent-out", withScale(testPool(1000, 65536), 0, share(1000, 1)...)},
		{"1000x65536-20-percent-out", withScale(testPool(1000, 65536), 0, share(1000, 20)...)},
		{"1000x65536-uneven-20-percent-out", withScale(uneven, 0, share(1000, 20)...)},
		{"1000x262144", testPool(1000, 0)},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				BuildTable(Seed{1}, row.pool)
			}
		})
	}
}
