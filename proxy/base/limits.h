/* Every limit of Seawall in one place, each with its reason. Bytes, counts and nanoseconds as the names say. */
#ifndef SW_BASE_LIMITS_H
#define SW_BASE_LIMITS_H

/* Nodes of one cluster: floors and views are fixed-size tables, copied in every worker. */
#define SW_NODES_MAX 16

/* Threads of the data path; a cancel key carries the worker's number in 8 bits. */
#define SW_WORKERS_MAX 64

/* PostgreSQL's NAMEDATALEN: longer names are truncated by the server, so Seawall refuses them. Includes the NUL. */
#define SW_NAME_MAX 64

/* PostgreSQL's MAX_STARTUP_PACKET_LENGTH. */
#define SW_STARTUP_BYTES_MAX 10000

/* A message before authentication is done (PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH is 65535). */
#define SW_AUTH_MESSAGE_BYTES_MAX 65535

/* PostgreSQL's PQ_LARGE_MESSAGE_LIMIT. A longer message is a protocol error. */
#define SW_MESSAGE_BYTES_MAX 0x3fffffff

/* PostgreSQL's PQ_SMALL_MESSAGE_LIMIT: of messages that carry no statement and no data. */
#define SW_SMALL_MESSAGE_BYTES_MAX 10000

/* The longest statement that is parsed. A longer one is sent to the primary unseen and pins its session. */
#define SW_STATEMENT_BYTES_MAX (1024 * 1024)

/* One read from a socket; the scratch buffer of a worker. */
#define SW_READ_BYTES (64 * 1024)

/* High-water mark: with more than this unsent to one side, the other side is not read any more. */
#define SW_HIGH_WATER_BYTES (256 * 1024)

/* Names that one statement may set before its session is pinned instead. */
#define SW_SET_NAMES_MAX 16

/* Names and values of the settings that a session carries; one with more is pinned. */
#define SW_SETTINGS_BYTES_MAX (16 * 1024)

/* Statements kept by a worker's verdict cache, and the bytes of text that they may hold. */
#define SW_VERDICTS_MAX      8192
#define SW_VERDICT_BYTES_MAX (32 * 1024 * 1024)

/* Users whose secret auth_query has told: some 40 MB. Beyond, whoever was asked for longest ago is asked for again. */
#define SW_SECRETS_MAX 100000

/* Clients that wait for auth_query, those who have left meanwhile included: 15 MB, and minutes of any server's work. */
#define SW_ASKS_MAX 100000

/* Threads that ask PAM. A slow module keeps one each; more of them would only queue at the directory behind it. */
#define SW_PAM_THREADS_MAX 8

/* Clients that wait for PAM, those who have left meanwhile included: some MB, and minutes of any directory's work. */
#define SW_PAM_ASKS_MAX 10000

/* Samples kept a node: at the shortest interval (2 ms) about 8 seconds, at the usual one (100 ms) seven minutes. */
#define SW_SAMPLES_MAX 4096

/*
 * The primary's snapshot, as text, that replicas are asked about: some 5000 transactions in progress. With more of them no
 * replica is asked, and who has to know waits for all of them.
 */
#define SW_SNAPSHOT_BYTES_MAX (64 * 1024)

/* Transaction ids above that snapshot that a replica looks through: tens of ms of its time. With more, likewise. */
#define SW_SNAPSHOT_RANGE_MAX 4000

/* Commits that a replica shows and the primary does not yet: a thousand ids. With more, likewise. */
#define SW_EARLY_XIDS_MAX  1000
#define SW_EARLY_BYTES_MAX (21 * SW_EARLY_XIDS_MAX)

/* Distinct pairs of lag limits over all databases; a node's fitness for each is one bit of a mask. */
#define SW_LAG_CLASSES_MAX 32

#endif
