//! One filter takes out of foreign text what would steer a terminal; no other one may know less.

/// Where the filter is.
const FILTER: &str = "crates/vramscope-core/src/foreign.rs";
/// What a filter of one's own asks of a character: it knows C0 and C1, and no marks of direction. In two parts, so that this
/// file does not contain it.
const ASKED: (&str, &str) = ("is_con", "trol");

/// Finds filters outside of the one.
pub(super) fn check(name: &str, text: &str, wrong: &mut Vec<String>) {
    if name == FILTER {
        return;
    }
    let asked = format!("{}{}", ASKED.0, ASKED.1);
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.contains(&asked)) {
        let place = line.find(&asked).unwrap_or_default();
        // A longer name is another one.
        let ends = line[place + asked.len()..].chars().next().is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
        if ends {
            wrong.push(format!(
                "{name}:{}: a filter of its own; use without_controls or on_one_line of vramscope-core",
                number + 1
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_filter_is_found_and_the_one_is_left_alone() {
        let planted = format!("let plain = text.chars().filter(|c| !c.{}{}());\n", ASKED.0, ASKED.1);
        let other = format!("let {}{}led = 1;\n", ASKED.0, ASKED.1);
        let found = |name: &str, text: &str| {
            let mut wrong = Vec::new();
            check(name, text, &mut wrong);
            wrong.len()
        };
        assert_eq!(found("crates/vramscope-log/src/record.rs", &planted), 1);
        assert_eq!(found(FILTER, &planted), 0);
        assert_eq!(found("crates/vramscope-log/src/record.rs", &other), 0);
    }
}
