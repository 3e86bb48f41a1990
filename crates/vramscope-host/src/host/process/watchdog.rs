//! What stops an engine when this process can no longer do it.

use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};

/// Waits for the end of its standard input, whose other end only this process holds: it comes when this process ends,
/// however it ends. Then it asks every process that it was told of, the group, and every process with the mark to
/// stop, gives them five seconds, and kills them. `done` sends it home.
///
/// It knows a process by its number and its start, so that it never meets another with the same number.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
mark=$1 group= told=
while read -r word pid start; do
    case $word in
        group) group=$pid ;;
        tell) told="$told $pid:$start" ;;
        done) exit 0 ;;
    esac
done
is() {
    read -r line 2>/dev/null < "/proc/$1/stat" || return 1
    start=$2
    set -- ${line##*) }
    [ "$1" != Z ] && [ "${20}" = "$start" ]
}
all() {
    found=1
    [ -n "$group" ] && kill -s "$1" -- "-$group" 2>/dev/null && found=0
    for entry in $told; do
        is "${entry%%:*}" "${entry#*:}" && kill -s "$1" "${entry%%:*}" 2>/dev/null && found=0
    done
    for file in /proc/[0-9]*/environ; do
        grep -qs -- "$mark" "$file" || continue
        pid=${file#/proc/}
        kill -s "$1" "${pid%/environ}" 2>/dev/null && found=0
    done
    return $found
}
all TERM
for second in 1 2 3 4 5; do
    sleep 1
    all 0 || exit 0
done
for second in 1 2 3; do
    all KILL || exit 0
    sleep 1
done
"#;

/// A running watchdog.
#[derive(Debug)]
pub(crate) struct Watchdog {
    child: Child,
}

impl Watchdog {
    /// Starts one for all processes with this mark.
    pub(crate) fn start(mark: &str) -> io::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        // A group of its own: what ends this process's group from a terminal must not end it.
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "vramscope-watchdog", mark])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { child })
    }

    /// Names the engine's group.
    pub(crate) fn tell_group(&mut self, group: u32) -> io::Result<()> {
        self.write(&format!("group {group}\n"))
    }

    /// Names processes with their start.
    pub(crate) fn tell(&mut self, processes: &[(u32, u64)]) -> io::Result<()> {
        let lines: String = processes.iter().map(|(pid, started)| format!("tell {pid} {started}\n")).collect();
        self.write(&lines)
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        match &mut self.child.stdin {
            Some(stdin) => stdin.write_all(text.as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Sends it home: nothing of the engine is left.
    pub(crate) fn dismiss(&mut self) {
        if self.write("done\n").is_err() {
            // It was ended by somebody, or the pipe is gone; it has nothing to do any more.
            let _ = self.child.kill();
        }
        self.child.stdin = None;
        // It exits at once; without this it would stay as a zombie.
        let _ = self.child.wait();
    }
}
