/* Texts of enum sw_err. Pure; any thread. */
#include "proxy/base/err.h"

const char *sw_err_text(enum sw_err err)
{
	switch (err) {
	case SW_OK:
		return "no error";
	case SW_ERR_AGAIN:
		return "not ready yet";
	case SW_ERR_EOF:
		return "connection closed by the peer";
	case SW_ERR_IO:
		return "input or output failed";
	case SW_ERR_PROTOCOL:
		return "protocol violation";
	case SW_ERR_LIMIT:
		return "limit reached";
	case SW_ERR_AUTH:
		return "authentication failed";
	case SW_ERR_CONFIG:
		return "not allowed by the configuration";
	case SW_ERR_NOT_FOUND:
		return "not found";
	case SW_ERR_TIMEOUT:
		return "timed out";
	case SW_ERR_SYNTAX:
		return "cannot be parsed";
	}
	return "unknown error";
}
