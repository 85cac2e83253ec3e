/* The version of Seawall: what --version, the console and the log say. */
#ifndef SW_BASE_VERSION_H
#define SW_BASE_VERSION_H

#define SW_VERSION "0.1.0"

#endif
