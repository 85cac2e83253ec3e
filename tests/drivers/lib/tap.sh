# TAP out of a shell program: `. "$DRIVERS_LIB/tap.sh"`, then `check TITLE FUNCTION`, at the end `finish`.
#
# A function runs under set -e in a subshell; what it prints is shown where it fails.

cases=0 failed=0
exec 3>&1

check() {
	cases=$((cases + 1))
	output=$(set -e; $2 2>&1)
	if [ $? -eq 0 ]; then
		printf 'ok %d - %s\n' $cases "$1"
	else
		failed=$((failed + 1))
		printf 'not ok %d - %s\n' $cases "$1"
		printf '%s\n' "$output" | sed 's/^/# /'
	fi
}

skip() {
	cases=$((cases + 1))
	echo "ok $cases - $1 # SKIP"
}

finish() {
	echo "1..$cases"
	[ $failed -eq 0 ]
	exit
}

is_pooled() {
	[ -n "${DRIVERS_POOLED:-}" ]
}

same() { # EXPECTED GOT
	[ "$1" = "$2" ] && return 0
	printf 'expected\n%s\ngot\n%s\n' "$1" "$2"
	return 1
}

has() { # TEXT PART
	case "$1" in *"$2"*) return 0 ;; esac
	printf '"%s" is not in\n%s\n' "$2" "$1"
	return 1
}

# Asks until it is true; the question itself takes its time.
until_true() { # SECONDS COMMAND…
	end=$(($(date +%s) + $1))
	shift
	until "$@"; do
		if [ "$(date +%s)" -gt "$end" ]; then
			echo "still waiting for: $*"
			return 1
		fi
	done
}

# Every node restarts before this returns.
restart() {
	echo RESTART >&3
	read -r _
}
