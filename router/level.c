/* The levels of consistency. Pure; any thread. */
#include "router/level.h"

#include <string.h>
#include <strings.h>

static const char *const texts[] = {
	[SW_LEVEL_OFF] = "off", [SW_LEVEL_EVENTUAL] = "eventual", [SW_LEVEL_SESSION] = "session", [SW_LEVEL_STRONG] = "strong"};

const char *sw_level_text(enum sw_consistency level)
{
	return texts[level];
}

bool sw_level_parse(const char *text, size_t len, enum sw_consistency *ret_level)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (strlen(texts[i]) == len && strncasecmp(text, texts[i], len) == 0) {
			*ret_level = (enum sw_consistency)i;
			return true;
		}
	}
	return false;
}

bool sw_level_is_weaker(enum sw_consistency a, enum sw_consistency b)
{
	return a != SW_LEVEL_OFF && (b == SW_LEVEL_OFF || a < b);
}
