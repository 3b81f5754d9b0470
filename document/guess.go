package document

// closest returns the name that was most likely meant: the nearest one, if at most a third of its letters, and at
// least one, differ. Of equally near ones it is the first.
func closest(word string, names []string) (string, bool) {
	best, bestDistance := "", len(word)+1
	for _, name := range names {
		if d := distance(word, name); d < bestDistance && d <= max(len(name)/3, 1) {
			best, bestDistance = name, d
		}
	}
	return best, best != ""
}

// distance counts the letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 2*len(b) { // far beyond any guess; also bounds the work for a hostile word
		return len(a)
	}
	before, above := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			differ := 1
			if a[i-1] == b[j-1] {
				differ = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+differ)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}
