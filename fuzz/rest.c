/* A program that has come to its end, judged by what is left of it. */
#include "fuzz/fuzz.h"

#define WRITES_MAX 4096

bool rest_judge(struct endstate_finding *finding)
{
	static struct endstate_write writes[WRITES_MAX];
	u32 nr = 0, at = 0;

	while (nr < WRITES_MAX && program_next_unreported(&at, &writes[nr].as_id, &writes[nr].gfn))
		nr++;
	return endstate_judge(writes, nr, finding);
}

void rest_print(struct buf *buf, const struct endstate_finding *finding)
{
	buf_printf(buf, "%s %s: %s", finding->oracle, finding->class, finding->sentence);
	for (u32 i = 0; i < ENDSTATE_VALUES_MAX && finding->values[i].name; i++)
		buf_printf(buf, " %s=0x%llx", finding->values[i].name,
			   (unsigned long long)finding->values[i].value);
}
