/* The command line of the server. What it does is in control.c. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/log.h"
#include "proxy/base/version.h"
#include "proxy/config.h"
#include "proxy/config_table.h"
#include "proxy/control.h"
#include "proxy/setup.h"

static const char usage[] =
	"Seawall " SW_VERSION ": one address in front of a PostgreSQL cluster.\n"
	"\n"
	"usage: seawall -c FILE [-v]         run in the foreground\n"
	"       seawall -c FILE --check      say every fault of the configuration, exit 0 or 1\n"
	"       seawall --version\n"
	"       seawall --dump-config-table  every key with its default, range and meaning\n"
	"\n"
	"signals: HUP reloads the configuration, TERM drains and stops, INT stops at once\n";

enum { OPTION_CHECK = 256, OPTION_VERSION, OPTION_DUMP };

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"check", no_argument, NULL, OPTION_CHECK},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"verbose", no_argument, NULL, 'v'},
	{"dump-config-table", no_argument, NULL, OPTION_DUMP},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
	const char *path = NULL;
	struct sw_config *config;
	struct sw_setup *setup;
	bool checks_only = false;
	int option;

	while ((option = getopt_long(argc, argv, "c:vh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 'v':
			sw_log_set_level(SW_LOG_DEBUG);
			break;
		case OPTION_CHECK:
			checks_only = true;
			break;
		case OPTION_VERSION:
			puts("seawall " SW_VERSION);
			return 0;
		case OPTION_DUMP:
			sw_config_dump_table(stdout);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!path || optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	config = sw_config_load(path, stderr);
	setup = config ? sw_setup_load(config, stderr) : NULL;
	if (!setup)
		return 1;
	if (checks_only) {
		sw_setup_unref(setup);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	return sw_control_run(setup);
}
