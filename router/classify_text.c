/*
 * The texts that the grammar must not see, and small searches in bytes. Pure; any thread.
 *
 * PostgreSQL's lexer matches a run of operator characters as far as it goes, keeps what is an operator or a
 * comment's beginning, and reads the rest again: 1 MB of slashes and asterisks in turn takes it more than ten
 * minutes. A worker serves thousands of sessions, so such texts go to the primary unseen. Nobody writes them:
 * comment rules of asterisks or dashes, however long, are read once or twice.
 *
 * Not here: memory. classify.c bounds what a parse may use.
 */
#include "router/classify_text.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* Characters that the lexer may read again for one text: about 20 ms at worst. */
#define RESCANNED_MAX (8 * 1024 * 1024)

static const bool is_operator[256] = {
	['~'] = true, ['!'] = true, ['@'] = true, ['#'] = true, ['^'] = true, ['&'] = true, ['|'] = true,
	['`'] = true, ['?'] = true, ['+'] = true, ['-'] = true, ['*'] = true, ['/'] = true, ['%'] = true,
	['<'] = true, ['>'] = true, ['='] = true,
};

/*
 * How often the lexer may begin again inside a run of operator characters: where a comment opens or a sign
 * follows.
 */
static uint64_t restarts(const char *run, size_t len)
{
	uint64_t count = 1;

	for (size_t i = 1; i < len; i++) {
		if (run[i] == '*')
			count += run[i - 1] == '/';
		else if (run[i] == '+')
			count++;
		else if (run[i] == '-')
			count += run[i - 1] != '-' && (i + 1 == len || run[i + 1] != '-');
	}
	return count;
}

bool sw_text_is_cheap(const char *text, size_t len)
{
	uint64_t rescanned = 0;
	size_t at = 0;

	while (at < len) {
		size_t start = at;

		while (at < len && is_operator[(unsigned char)text[at]])
			at++;
		if (at - start > 1)
			rescanned += restarts(text + start, at - start) * (at - start);
		if (rescanned > RESCANNED_MAX)
			return false;
		at += at == start;
	}
	return true;
}

bool sw_text_has_high_byte(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return true;
	return false;
}

bool sw_text_has_word(const char *text, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	for (size_t i = 0; i + word_len <= len; i++)
		if ((text[i] | 0x20) == word[0] && strncasecmp(text + i, word, word_len) == 0)
			return true;
	return false;
}

enum sw_text_bool sw_text_bool(const char *text)
{
	static const struct {
		const char *word;
		size_t least; /* letters that make it unique */
		enum sw_text_bool value;
	} words[] = {
		{"true", 1, SW_TEXT_TRUE}, {"false", 1, SW_TEXT_FALSE}, {"yes", 1, SW_TEXT_TRUE},
		{"no", 1, SW_TEXT_FALSE}, {"on", 2, SW_TEXT_TRUE}, {"off", 2, SW_TEXT_FALSE},
		{"1", 1, SW_TEXT_TRUE}, {"0", 1, SW_TEXT_FALSE},
	};
	size_t len = strlen(text);

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (len >= words[i].least && len <= strlen(words[i].word) &&
			strncasecmp(text, words[i].word, len) == 0)
			return words[i].value;
	return SW_TEXT_NO_BOOL;
}
