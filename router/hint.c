/* Hints in the leading comment of a text. Pure; any thread. */
#define _GNU_SOURCE /* memmem */
#include "router/hint.h"

#include <string.h>
#include <strings.h>

#define MARK "seawall:"

struct text {
	const char *at, *end;
};

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_blanks(struct text *text)
{
	while (text->at < text->end && is_blank(*text->at))
		text->at++;
}

static bool skip_word(struct text *text, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(text->end - text->at) < len || strncasecmp(text->at, word, len) != 0)
		return false;
	text->at += len;
	return true;
}

/* Up to a blank, a comma, an equals sign or the end. */
static struct text next_word(struct text *text)
{
	struct text word = {.at = text->at};

	while (text->at < text->end && !is_blank(*text->at) && *text->at != ',' && *text->at != '=')
		text->at++;
	word.end = text->at;
	return word;
}

static bool is_word(struct text word, const char *wanted)
{
	return (size_t)(word.end - word.at) == strlen(wanted) && strncasecmp(word.at, wanted, strlen(wanted)) == 0;
}

static const char *apply_level(struct sw_hint *hint, struct text value)
{
	enum sw_consistency level;

	if (hint->has_level)
		return "a hint names consistency twice";
	if (!sw_level_parse(value.at, (size_t)(value.end - value.at), &level))
		return "consistency in a hint is one of off, eventual, session, strong";
	hint->has_level = true;
	hint->level = (uint8_t)level;
	return NULL;
}

static const char *apply_token(struct sw_hint *hint, struct text value)
{
	if (hint->has_token)
		return "a hint carries two tokens";
	if (sw_token_parse(value.at, (size_t)(value.end - value.at), &hint->token) != SW_OK)
		return "the token in a hint is damaged";
	hint->has_token = true;
	return NULL;
}

static const char *apply(struct sw_hint *hint, struct text key, struct text value)
{
	if (is_word(key, "consistency"))
		return apply_level(hint, value);
	if (is_word(key, "token"))
		return apply_token(hint, value);
	if (!is_word(key, "route"))
		return "a hint has a key that is none of consistency, route, token";
	if (!is_word(value, "primary"))
		return "route in a hint can only be primary";
	hint->is_primary = true;
	return NULL;
}

/* key=value, with blanks, a comma or both between two of them; body is what stands behind the mark. */
static const char *parse_body(struct sw_hint *hint, struct text body)
{
	const char *fault = NULL;

	for (skip_blanks(&body); body.at < body.end && !fault; skip_blanks(&body)) {
		struct text key = next_word(&body);

		if (key.at == key.end || !skip_word(&body, "="))
			return "a hint is written key=value";
		fault = apply(hint, key, next_word(&body));
		skip_blanks(&body);
		if (skip_word(&body, ",")) {
			skip_blanks(&body);
			if (body.at == body.end)
				return "a hint ends in a comma";
		}
	}
	if (!fault && !hint->has_level && !hint->has_token && !hint->is_primary)
		return "a hint is empty";
	if (!fault && hint->has_token && hint->has_level && hint->level == SW_LEVEL_EVENTUAL)
		return "a token in a hint means nothing at consistency eventual";
	return fault;
}

void sw_hint_parse(const char *text, size_t len, struct sw_hint *ret_hint)
{
	struct text rest = {.at = text, .end = text + len}, body;

	*ret_hint = (struct sw_hint){.is_there = false};
	skip_blanks(&rest);
	if (!skip_word(&rest, "/*"))
		return;
	skip_blanks(&rest);
	if (!skip_word(&rest, MARK))
		return;
	ret_hint->is_there = true;
	body = (struct text){.at = rest.at, .end = memmem(rest.at, (size_t)(rest.end - rest.at), "*/", 2)};
	if (!body.end)
		ret_hint->fault = "a hint has no end";
	else if (memmem(body.at, (size_t)(body.end - body.at), "/*", 2))
		ret_hint->fault = "a hint has a comment inside";
	else
		ret_hint->fault = parse_body(ret_hint, body);
}
