/* ThreadSanitizer must see two threads write to one word: "bad" without a lock, "good" with it. */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool locked;
static volatile int word;

static void *write_word(void *ctx)
{
	if (locked)
		pthread_mutex_lock(&lock);
	word = word + 1;
	if (locked)
		pthread_mutex_unlock(&lock);
	return ctx;
}

int main(int argc, char **argv)
{
	pthread_t one, other;

	locked = argc > 1 && strcmp(argv[1], "bad");
	if (pthread_create(&one, NULL, write_word, NULL) || pthread_create(&other, NULL, write_word, NULL))
		return 2;
	return pthread_join(one, NULL) || pthread_join(other, NULL) ? 2 : 0;
}
