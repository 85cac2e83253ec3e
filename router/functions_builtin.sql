-- Writes router/functions_builtin.inc: the names of pg_catalog that a statement may call on a replica. Run it where the
-- cluster is PostgreSQL 15, the version of the grammar:
--
--	psql -XAtqf router/functions_builtin.sql postgres > router/functions_builtin.inc
--
-- A name is listed where every overload of it is immutable or stable and at least one can be called from SQL, unless its
-- answer belongs to a node or to the catalog (T8, T23): router/functions.c names those. Everything called pg_... counts as
-- such unless it is named here. At the end come volatile functions that leave nothing behind (T5).
select '	' || string_agg('"' || name || '",', ' ' order by name collate "C")
from (
	select name, (row_number() over (order by name collate "C") - 1) / 4 as line
	from (
		select proname::text as name
		from pg_proc
		where pronamespace = 'pg_catalog'::regnamespace
		group by proname
		having bool_and(provolatile in ('i', 's'))
			and bool_or(prokind in ('f', 'a', 'w')
				and not proargtypes::oid[] && array['internal', 'cstring']::regtype[]::oid[]
				and prorettype not in ('internal'::regtype, 'cstring'::regtype, 'trigger'::regtype, 'event_trigger'::regtype))
			and proname !~ '^(pg|txid)_|^(has_.*_privilege|to_reg[a-z]+|(database|schema)_to_xml.*|(col|obj|shobj)_description)$'
			and proname not in ('current_setting', 'format_type', 'inet_client_addr', 'inet_client_port', 'inet_server_addr',
				'inet_server_port', 'mxid_age', 'row_security_active', 'version')
		union
		select unnest(array['pg_char_to_encoding', 'pg_client_encoding', 'pg_collation_for', 'pg_column_compression',
			'pg_column_size', 'pg_encoding_max_length', 'pg_encoding_to_char', 'pg_get_keywords', 'pg_lsn', 'pg_lsn_cmp',
			'pg_size_bytes', 'pg_size_pretty', 'pg_timezone_abbrevs', 'pg_timezone_names', 'pg_typeof', 'pg_wal_lsn_diff'])
		union
		select unnest(array['clock_timestamp', 'current_query', 'gen_random_uuid', 'pg_sleep', 'pg_sleep_for',
			'pg_sleep_until', 'random', 'random_normal', 'timeofday', 'uuidv4', 'uuidv7'])
	) as listed
) as numbered
group by line
order by line;
