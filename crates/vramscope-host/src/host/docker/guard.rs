//! What ends an engine inside a container when nobody outside can.

/// Becomes the engine, and leaves a watchman beside it that reads from the standard input, whose other end only this
/// program holds. A word there is a signal for every process of the engine; the end of the input, which comes however
/// this program ends, asks all to stop, gives them five seconds, and kills them.
///
/// The engine's processes are those of its session and those with its mark. Process 1 is the container's own.
pub(super) const GUARD: &str = r#"
mark=$1
shift
exec 3<&0
(
    trap '' HUP INT TERM
    read -r line < /proc/self/stat
    self=${line%% *}
    set -- ${line##*) }
    session=$4
    all() {
        found=1
        for file in /proc/[0-9]*/stat; do
            pid=${file#/proc/}
            pid=${pid%/stat}
            [ "$pid" = "$self" ] || [ "$pid" = 1 ] && continue
            read -r line 2>/dev/null < "$file" || continue
            set -- "$1" ${line##*) }
            [ "$2" = Z ] && continue
            [ "$5" = "$session" ] || grep -qs -- "$mark" "/proc/$pid/environ" || continue
            kill -s "$1" "$pid" 2>/dev/null && found=0
        done
        return $found
    }
    while read -r word <&3; do all "$word"; done
    all TERM
    for second in 1 2 3 4 5; do
        all 0 || exit 0
        sleep 1
    done
    while all KILL; do sleep 1; done
) </dev/null >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"#;

/// Ends with 1 while a process with the mark, the watchman among them, is alive. A dead one has no environment.
pub(super) const LOOK: &str = r#"
for file in /proc/[0-9]*/environ; do
    grep -qs -- "$1" "$file" && exit 1
done
exit 0
"#;

/// The words that run a command under the guard.
pub(super) fn guarded(mark: &str, words: impl IntoIterator<Item = String>) -> Vec<String> {
    let guard = ["/bin/sh", "-c", GUARD, "vramscope-guard", mark].map(str::to_owned);
    guard.into_iter().chain(words).collect()
}
