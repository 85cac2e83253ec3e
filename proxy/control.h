/*
 * The control thread: configuration, monitor, console, signals, and the workers' lives. The main thread of the process.
 */
#ifndef SW_PROXY_CONTROL_H
#define SW_PROXY_CONTROL_H

struct sw_setup;

/* Runs Seawall until it is told to stop. Takes over the reference to setup. Exit status: 0 = stopped in order. */
int sw_control_run(struct sw_setup *setup);

#endif
