//! Examples in `--help` that stay as they are written: a line that was broken cannot be pasted.

/// Keeps a line together while clap fits text to a width: it breaks at spaces alone.
const KEPT: char = '\u{a0}';

/// The command with its examples kept together, and those of its subcommands. An example, or a line of a file, is
/// indented; the text around it is not, and is fitted.
pub(crate) fn kept_together(command: clap::Command) -> clap::Command {
    let mut command = command;
    if let Some(after) = command.get_after_help() {
        let lines: Vec<String> = after.to_string().lines().map(kept).collect();
        command = command.after_help(lines.join("\n"));
    }
    command.mut_subcommands(kept_together)
}

fn kept(line: &str) -> String {
    if line.starts_with("  ") { line.replace(' ', "\u{a0}") } else { line.to_owned() }
}

/// Text that clap has laid out, as it was written.
pub(crate) fn as_written(text: &str) -> String {
    text.replace(KEPT, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The help of a command and of all below it, fitted to a width.
    fn all_help(width: usize) -> Vec<(String, String)> {
        fn of(command: &mut clap::Command, name: &str, all: &mut Vec<(String, String)>) {
            all.push((name.to_owned(), as_written(&command.render_long_help().to_string())));
            let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
            for sub in names.iter().filter(|sub| *sub != "help") {
                if let Some(command) = command.find_subcommand_mut(sub) {
                    of(command, &format!("{name} {sub}"), all);
                }
            }
        }
        let mut command = crate::command_line().term_width(width);
        command.build();
        let mut all = Vec::new();
        of(&mut command, "vramscope", &mut all);
        all
    }

    /// The command lines among the examples, each as a shell would join and take it apart.
    fn examples(help: &str) -> Vec<Vec<String>> {
        let mut joined = help.replace("\\\n", "");
        joined.push('\n');
        joined.lines().filter(|line| line.starts_with("  vramscope ")).map(words).collect()
    }

    /// The words up to a pipe, a redirection, a second command, or a remark.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let (mut word, mut quote, mut begun) = (String::new(), None, false);
        for c in line.trim_start().chars().chain([' ']) {
            match (c, quote) {
                ('\'' | '"', None) => (quote, begun) = (Some(c), true),
                (c, Some(q)) if c == q => quote = None,
                (' ', None) => {
                    if begun {
                        words.push(std::mem::take(&mut word));
                    }
                    begun = false;
                }
                (c, _) => {
                    word.push(c);
                    begun = true;
                }
            }
        }
        let ends = |word: &String| ["|", ">", "&&", "&", "#"].contains(&word.as_str());
        let end = words.iter().position(ends).unwrap_or(words.len());
        words.truncate(end);
        words
    }

    #[test]
    fn every_example_can_be_pasted_at_any_width() {
        // Zero is a width without end, as where there is no terminal to fit.
        for width in [40, 80, 120, 0] {
            let mut seen = 0;
            for (name, help) in all_help(width) {
                for words in examples(&help) {
                    seen += 1;
                    if let Err(error) = crate::command_line().try_get_matches_from(&words) {
                        panic!("at {width}, {name}: {words:?}\n{error}");
                    }
                }
            }
            assert!(seen > 50, "{seen} examples at {width}");
        }
    }

    #[test]
    fn the_file_of_campaigns_help_is_a_campaign_at_any_width() {
        for width in [40, 80, 120, 0] {
            let all = all_help(width);
            let (_, help) = all.iter().find(|(name, _)| name == "vramscope campaign").unwrap();
            let file = help.split_once("A file:\n").unwrap().1;
            let file: Vec<&str> = file.lines().map_while(|line| line.strip_prefix("  ")).collect();
            let file = vramscope_runs::read_campaign(&(file.join("\n") + "\n")).unwrap();
            assert_eq!(file.models[0].batch_sizes.as_deref(), Some(&[1, 8, 32][..]), "{width}");
        }
    }

    #[test]
    fn indented_lines_are_kept_and_others_fitted() {
        for width in [40, 80, 120] {
            for (name, help) in all_help(width) {
                let long = |line: &&str| line.chars().count() > width && !line.starts_with("  ") && line.contains(' ');
                let sentence = help.lines().skip_while(|line| !line.starts_with("Example")).find(long);
                assert_eq!(sentence, None, "{name} at {width}");
            }
        }
    }
}
