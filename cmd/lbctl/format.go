package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

func decimal[N ~uint32 | ~uint64 | ~int](n N) string { return strconv.FormatUint(uint64(n), 10) }

func factor(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// share prints part of whole in percent.
func share(part, whole uint32) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(whole))
}

func portList(ports []int) string {
	words := namesOf(ports, strconv.Itoa)
	return strings.Join(words, ",")
}

// dash stands for what is empty, so that a table's columns can be counted.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// plural is for counts in sentences: "1 slot", "2 slots".
func plural[N ~uint32 | ~int](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// bytesText prints a size in the largest binary unit that leaves at least 1.
func bytesText(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	size, unit := float64(n), 0
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}

// age prints how long ago t was, in its two largest units.
func age(now, t time.Time) string {
	d := max(now.Sub(t), 0)
	switch days := int(d.Hours()) / 24; {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, int(d.Hours())%24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

// span prints a duration as the document does: 1h, not 1h0m0s.
func span(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// durationOr prints a duration; an absent one is the default.
func durationOr(d *durationpb.Duration, standard time.Duration) string {
	if d == nil {
		return span(standard)
	}
	return span(d.AsDuration())
}
