# Prints the lines of its input that look most like `word`, if any look like it.
#   near.awk -v word=fiber-asn   <list of names
function distance(a, b,    i, j, row, diagonal, above, best)
{
	for (j = 0; j <= length(b); j++)
		row[j] = j
	for (i = 1; i <= length(a); i++) {
		diagonal = row[0]
		row[0] = i
		for (j = 1; j <= length(b); j++) {
			above = row[j]
			best = diagonal + (substr(a, i, 1) != substr(b, j, 1))
			if (above + 1 < best)
				best = above + 1
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1
			row[j] = best
			diagonal = above
		}
	}
	return row[length(b)]
}
{
	far = distance(word, $0)
	if (length(word) > 2 && index($0, word))
		far = 1
	if (far > length(word) / 3 + 1)
		next
	if (count == 0 || far < nearest)
		count = 0
	else if (far > nearest)
		next
	nearest = far
	near[++count] = $0
}
END {
	for (i = 1; i <= count; i++)
		print near[i]
}
