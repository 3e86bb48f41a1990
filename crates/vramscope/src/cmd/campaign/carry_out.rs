//! Carries out the runs of a campaign, one after another, and goes on where an earlier one ended.

use std::path::Path;

use anyhow::anyhow;
use jiff::{Timestamp, Zoned};
use vramscope_core::redact_args;
use vramscope_runs::{CampaignFolder, Lease, Leased, Owner, Published};
use vramscope_schema::{ExitCode, RunState};

use super::plan::{self, Planned};
use super::rows::Rows;
use super::{Args, dry_run};
use crate::cmd::profile::Session;
use crate::cmd::runs;
use crate::exit::{self, OrExit as _};
use crate::output;

/// A campaign at work in its folder.
struct Work<'c> {
    args: &'c Args,
    plan: &'c [Planned],
    folder: CampaignFolder,
    session: &'c Session,
    owner: Owner,
    rows: Rows,
}

/// How one run ended for the campaign.
struct Ended {
    code: ExitCode,
    /// Nothing more is to be started.
    last: bool,
}

pub(super) fn run(args: &Args, plan: &[Planned], path: &Path, session: &Session) -> anyhow::Result<ExitCode> {
    let folder = CampaignFolder::new(path);
    let earlier = plan::earlier(plan, path)?;
    folder.make().or_exit(ExitCode::CannotWrite)?;
    let owner = owner();
    let _only_one = only_one_here(&folder, &owner)?;
    plan::keep(plan, &earlier, path)?;
    let rows = Rows::read(&folder, plan, &earlier).or_exit(ExitCode::BadInput)?;
    let mut work = Work { args, plan, folder, session, owner, rows };
    work.rows.write(path, args.report)?;
    let ended = work.all();
    // However it ended: the table says how far everything is.
    let written = work.rows.write(path, args.report);
    runs::show(&work.rows.sweep(), args.format)?;
    work.tell(path);
    written?;
    ended
}

/// Who works here.
fn owner() -> Owner {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Owner { host, pid: std::process::id(), since: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string() }
}

/// Two campaigns on one machine would measure each other.
fn only_one_here(folder: &CampaignFolder, owner: &Owner) -> anyhow::Result<Lease> {
    match folder.lease_of(&format!("campaign@{}", owner.host), owner).or_exit(ExitCode::CannotWrite)? {
        Leased::Ours(lease) => Ok(lease),
        other => {
            let by = if let Leased::Held(Some(by)) = other { by.pid.to_string() } else { "of another user".to_owned() };
            Err(anyhow!(
                "a campaign is being carried out in {} by process {by} of this machine; wait for it, or give another \
                 --output",
                folder.path().display()
            ))
            .or_exit(ExitCode::Usage)
        }
    }
}

impl Work<'_> {
    /// Every run that is due. The code is that of the first run that did not go well.
    fn all(&mut self) -> anyhow::Result<ExitCode> {
        let mut first = ExitCode::Success;
        for (place, planned) in self.plan.iter().enumerate() {
            if self.session.stopped() {
                return Ok(ExitCode::Interrupted);
            }
            let which = format!("run {} of {}: {}", place + 1, self.plan.len(), planned.run.name);
            let state = self.rows.state(&planned.key);
            if !self.args.is_due(state) {
                let left = if state == RunState::Complete { "is complete already" } else { "is left as it is:" };
                let more = if state == RunState::Complete { String::new() } else { format!(" {}", state.name()) };
                output::say(&format!("{which}: {left}{more}"));
                if let Some(wrong) = self.rows.failure(&planned.key).filter(|_| state == RunState::Complete) {
                    output::say(&format!("warning: {wrong}"));
                }
                continue;
            }
            self.session.on_leaving(format!("left in {which}; to go on: {}", self.again()));
            let ended = self.one(planned, &which)?;
            if first == ExitCode::Success {
                first = ended.code;
            }
            self.rows.write(self.folder.path(), self.args.report)?;
            if ended.last {
                return Ok(ended.code);
            }
            if self.args.stop_on_failure && ended.code != ExitCode::Success {
                break;
            }
        }
        Ok(first)
    }

    /// One attempt at a run.
    fn one(&mut self, planned: &Planned, which: &str) -> anyhow::Result<Ended> {
        let _lease = match self.folder.lease_of(planned.key.as_str(), &self.owner).or_exit(ExitCode::CannotWrite)? {
            Leased::Ours(lease) => lease,
            other => {
                let by = if let Leased::Held(Some(by)) = other {
                    format!("by process {} of {}", by.pid, by.host)
                } else {
                    String::new()
                };
                output::say(&format!("{which}: is being carried out {by}"));
                self.rows.note(planned, RunState::Running, None);
                return Ok(Ended { code: ExitCode::Success, last: false });
            }
        };
        // Another machine may have been first since the folder was looked at.
        if self.folder.is_complete(&planned.key) {
            output::say(&format!("{which}: is complete already"));
            self.rows.renew(planned)?;
            return Ok(Ended { code: ExitCode::Success, last: false });
        }
        output::say(which);
        if self.args.skip_unfit
            && let Some(why) = dry_run::unfit(self.session, planned)
        {
            output::say(&format!("left out: {why}"));
            self.rows.note(planned, RunState::Unfit, Some(&why));
            return Ok(Ended { code: ExitCode::Negative, last: false });
        }
        let stamp = Zoned::now().strftime("%Y%m%d_%H%M%S");
        let id = format!(
            "{stamp}-{}-{}",
            self.owner.host.replace(|c: char| !c.is_ascii_alphanumeric(), "-"),
            self.owner.pid
        );
        let attempt = self.folder.begin(&planned.key, &id).or_exit(ExitCode::CannotWrite)?;
        let ran = self.session.run(&planned.args, Some(&attempt.profile));
        let code = match &ran {
            Ok(code) => *code,
            Err(error) => {
                output::say(&format!("error: {}", said(error)));
                exit::code(error)
            }
        };
        if attempt.profile.is_file() {
            self.publish(planned, &attempt, code)?;
        }
        self.folder.abandon(&attempt);
        self.rows.renew(planned)?;
        if let Err(error) = &ran
            && code != ExitCode::Interrupted
            && self.rows.state(&planned.key) == RunState::Pending
        {
            self.rows.note(planned, RunState::Failed, Some(&said(error)));
        }
        // Who pressed Ctrl-C means all of it, and a full disk takes no further run.
        Ok(Ended { code, last: matches!(code, ExitCode::Interrupted | ExitCode::CannotWrite) })
    }

    fn publish(&self, planned: &Planned, attempt: &vramscope_runs::Attempt, code: ExitCode) -> anyhow::Result<()> {
        if code == ExitCode::Interrupted {
            return Ok(());
        }
        let complete = code == ExitCode::Success;
        match self.folder.publish(&planned.key, attempt, complete).or_exit(ExitCode::CannotWrite)? {
            Published::Superseded => output::say(&format!(
                "another attempt was complete first and stands for the run; this one stays in {}",
                attempt.profile.display()
            )),
            Published::First(path) => output::say(&format!("profile: {}", path.display())),
            _ => {}
        }
        Ok(())
    }

    /// Where it stands, and how to go on.
    fn tell(&self, path: &Path) {
        let states = [
            RunState::Complete,
            RunState::Failed,
            RunState::Interrupted,
            RunState::Unfit,
            RunState::Running,
            RunState::Pending,
        ];
        let counts = states.map(|state| (state, self.rows.count(self.plan, state)));
        let words: Vec<String> =
            counts.iter().filter(|(_, n)| *n > 0).map(|(state, n)| format!("{n} {}", state.name())).collect();
        output::say(&format!(
            "{} of {} runs: profiles and tables are in {}",
            words.join(", "),
            self.plan.len(),
            path.display()
        ));
        let open = |state: RunState| !matches!(state, RunState::Complete | RunState::Running | RunState::Unfit);
        let stopped = self.plan.iter().enumerate().find(|(_, planned)| open(self.rows.state(&planned.key)));
        if let Some((place, planned)) = stopped {
            output::say(&format!(
                "open from run {} of {} on ({}, {}); to go on: {}",
                place + 1,
                self.plan.len(),
                planned.run.name,
                self.rows.state(&planned.key).name(),
                self.again()
            ));
        }
    }

    /// The command that goes on.
    fn again(&self) -> String {
        let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let mut shown = redact_args(words.iter().map(String::as_str));
        if self.args.output.is_none() {
            let at = shown.iter().position(|word| word == "--").unwrap_or(shown.len());
            shown.splice(at..at, ["--output".to_owned(), self.folder.path().display().to_string()]);
        }
        let quoted = shown.iter().map(|word| vramscope_core::shell_quoted(word));
        ["vramscope".to_owned()].into_iter().chain(quoted).collect::<Vec<_>>().join(" ")
    }
}

/// An error with its causes, on one line.
fn said(error: &anyhow::Error) -> String {
    exit::causes(error).collect::<Vec<_>>().join("\n  because: ")
}
