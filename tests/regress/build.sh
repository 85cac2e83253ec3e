#!/bin/sh
# Gets PostgreSQL's source by the machine's own package sources and builds what its regression suite needs.
#
# usage: build.sh MAJOR DIRECTORY      DIRECTORY is made, and complete where it exists
#
# The source is that of the installed server, or, where that is not to be had, of the newest version that is. apt
# gets deb-src entries, lists and a cache of this script's own beside DIRECTORY: the machine's state stays as it is.
# Into DIRECTORY go sql/, expected/, data/ and parallel_schedule, pg_regress and its libraries, psql (of the suite's own
# version: what it echoes is part of what is expected), libpq_pipeline with its traces/, and the file `version`.
set -eu

major=$1 final=$2
work=$final.work
log=$final.log
here=$(dirname "$final")

if [ -e "$final" ]; then
	exit 0
fi
mkdir -p "$here"
rm -rf "$work"
mkdir -p "$work/parts" "$work/lists/partial" "$work/cache/archives/partial"
: >"$log"

failed() {
	echo "regress: $1; the last words (all of them are in $log):" >&2
	tail -n 15 "$log" >&2
	exit 1
}

# -- the source

for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
	[ ! -e "$file" ] || sed -n 's/^deb /deb-src /p' "$file" >"$work/parts/$(basename "$file" .list).list"
done
for file in /etc/apt/sources.list.d/*.sources; do
	[ ! -e "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/parts/$(basename "$file")"
done

apt() {
	program=$1
	shift
	"$program" -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" \
		-o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User= "$@" 2>>"$log"
}

installed=$(dpkg-query -W -f '${Version}' "postgresql-$major" 2>/dev/null || true)
apt apt-get update >>"$log" || true # one source of several may have nothing for us
versions=$(apt apt-cache showsrc "postgresql-$major" | sed -n 's/^Version: //p' | sort -rVu)
source=""
for version in $installed $versions; do
	if (cd "$work" && apt apt-get source "postgresql-$major=$version" >>"$log"); then
		source=$(echo "$work/postgresql-$major"-*)
		break
	fi
done
[ -d "$source" ] || failed "no source of postgresql-$major to be had"

# -- the build: outside the source, without the server, and not as a part of the make that may have called us

unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
mkdir "$work/made"
cd "$work/made"
"$source/configure" --without-readline --without-zlib >>"$log" 2>&1 || failed "configure failed"
make -s -C src/backend generated-headers >>"$log" 2>&1 || failed "the headers cannot be built"
for part in src/bin/psql src/test/regress src/test/modules/libpq_pipeline; do
	make -s -j2 -C "$part" >>"$log" 2>&1 || failed "$part cannot be built"
done

# -- what is kept. refint and autoinc are the installed server's: they come with it.

suite=$work/suite
mkdir "$suite"
cp -R "$source/src/test/regress/sql" "$source/src/test/regress/expected" "$source/src/test/regress/data" \
	"$source/src/test/regress/parallel_schedule" "$source/src/test/regress/resultmap" \
	"$source/src/test/modules/libpq_pipeline/traces" "$suite"
cp src/bin/psql/psql src/test/regress/pg_regress src/test/regress/regress.so \
	src/test/modules/libpq_pipeline/libpq_pipeline "$suite"
for library in refint autoinc; do
	cp "$(pg_config --pkglibdir)/$library.so" "$suite" 2>>"$log" || failed "the server's $library.so is missing"
done
src/bin/psql/psql --version | sed 's/.* //' >"$suite/version"
chmod -R a+rX "$suite"
mv "$suite" "$final"
cd /
rm -rf "$work" "$log"
