/* MemorySanitizer must see a branch on memory that nobody wrote: "bad"; "good" writes it first. */
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	volatile int *word = malloc(sizeof(*word));
	int answer = 0;

	if (!word)
		return 2;
	if (argc > 1 && strcmp(argv[1], "bad"))
		*word = 3;
	if (*word == 7)
		answer = 1;
	free((void *)word);
	return answer;
}
