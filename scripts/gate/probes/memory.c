/* AddressSanitizer must see the byte behind the array: "bad" writes it, "good" writes the one before. */
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	size_t at = argc > 1 && !strcmp(argv[1], "bad") ? 8 : 7;
	volatile char *bytes = malloc(8);

	if (!bytes)
		return 2;
	bytes[at] = 1;
	free((void *)bytes);
	return 0;
}
