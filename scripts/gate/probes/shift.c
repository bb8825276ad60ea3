/* UndefinedBehaviorSanitizer must see a shift by the width of the type: "bad"; "good" shifts by one less. */
#include <string.h>

int main(int argc, char **argv)
{
	volatile unsigned int by = argc > 1 && !strcmp(argv[1], "bad") ? 32 : 31;
	volatile unsigned int one = 1;

	return (one << by) == 7;
}
