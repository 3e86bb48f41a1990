//! The row of one device: which of its figures stay when the terminal is narrow.

use vramscope_core::{ByteUnit, Bytes};

use super::watch::DeviceMoment;

/// Blanks between two parts.
const GAP: usize = 2;
/// Fewer letters of a name tell no two devices apart.
const LEAST_OF_NAME: usize = 6;

/// What a part says, by what goes last when the room does not do for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Says {
    Device,
    Memory,
    Power,
    Utilization,
    Total,
    Own,
    Peak,
    Temperature,
    Name,
    Clock,
}

/// A part of a row, with a longer form where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    says: Says,
    text: String,
    longer: Option<(Says, String)>,
}

impl Part {
    pub(super) fn new(says: Says, text: impl Into<String>) -> Self {
        Self { says, text: text.into(), longer: None }
    }

    /// What is said in its place where there is room.
    pub(super) fn or_longer(self, says: Says, text: impl Into<String>) -> Self {
        Self { longer: Some((says, text.into())), ..self }
    }

    /// Memory in use, of the total where it is known, at least so wide.
    pub(super) fn memory(device: &DeviceMoment, wide: usize) -> Self {
        let used = device.reading.map_or_else(|| "-".into(), |reading| gib(reading.used));
        let short = Self::new(Says::Memory, format!("{used:>wide$} GiB"));
        match device.reading.and_then(|reading| reading.total).or(device.device.total) {
            Some(total) => short.or_longer(Says::Total, format!("{used:>wide$} of {} GiB", gib(total))),
            None => short,
        }
    }
}

/// Gibibytes with two decimals.
pub(super) fn gib(bytes: Bytes) -> String {
    format!("{:.2}", bytes.in_unit(ByteUnit::GiB))
}

/// The parts that fit, in their order. A name is cut where that is what fits.
pub(super) fn fit(parts: &[Part], width: usize) -> String {
    let mut steps: Vec<(Says, usize, &str, bool)> = Vec::with_capacity(parts.len() * 2);
    for (place, part) in parts.iter().enumerate() {
        steps.push((part.says, place, &part.text, false));
        steps.extend(part.longer.as_ref().map(|(says, text)| (*says, place, text.as_str(), true)));
    }
    steps.sort_by_key(|(says, ..)| *says);
    let mut shown: Vec<Option<String>> = vec![None; parts.len()];
    let mut left_out = false;
    for (says, place, text, longer) in steps {
        // Without its short form there is no room for the longer one either.
        if longer && shown[place].is_none() {
            continue;
        }
        let others = shown.iter().enumerate().filter(|(at, _)| *at != place).filter_map(|(_, text)| text.as_ref());
        let (used, count) = others.fold((0, 0), |(used, count), text| (used + text.chars().count(), count + 1));
        let room = width.saturating_sub(used + count * GAP);
        // No name where a figure had no room.
        let left_for_a_name = if left_out { 0 } else { room };
        if text.chars().count() <= if says == Says::Name { left_for_a_name } else { room } {
            shown[place] = Some(text.to_owned());
        } else if says == Says::Name && left_for_a_name > parts[place].text.chars().count() + LEAST_OF_NAME {
            let cut: String = text.chars().take(room - 1).collect();
            shown[place] = Some(format!("{}…", cut.trim_end()));
        } else if says == Says::Device {
            // Figures of nobody say nothing.
            break;
        } else {
            left_out = true;
        }
    }
    shown.into_iter().flatten().collect::<Vec<_>>().join(&" ".repeat(GAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_goes_before_the_figures_and_what_goes_last_is_the_memory() {
        let parts = [
            Part::new(Says::Device, "GPU 0").or_longer(Says::Name, "GPU 0 Stand-in GPU"),
            Part::new(Says::Memory, "60.00 GiB").or_longer(Says::Total, "60.00 of 80.00 GiB"),
            Part::new(Says::Power, "412 W"),
            Part::new(Says::Utilization, "98 %"),
            Part::new(Says::Clock, "1980 MHz"),
        ];
        let at = |width| fit(&parts, width);
        assert_eq!(at(61), "GPU 0 Stand-in GPU  60.00 of 80.00 GiB  412 W  98 %  1980 MHz");
        assert_eq!(at(60), "GPU 0 Stand-in GPU  60.00 of 80.00 GiB  412 W  98 %");
        assert_eq!(at(47), "GPU 0 Stand-i…  60.00 of 80.00 GiB  412 W  98 %");
        assert_eq!(at(44), "GPU 0  60.00 of 80.00 GiB  412 W  98 %");
        assert_eq!(at(37), "GPU 0  60.00 GiB  412 W  98 %");
        assert_eq!(at(28), "GPU 0  60.00 GiB  412 W");
        assert_eq!([at(16), at(5), at(4)], ["GPU 0  60.00 GiB", "GPU 0", ""]);
    }

    #[test]
    fn no_row_is_wider_than_its_room() {
        let name = "é".repeat(40);
        let parts = [
            Part::new(Says::Device, "GPU 0").or_longer(Says::Name, format!("GPU 0 {name}")),
            Part::new(Says::Memory, "-").or_longer(Says::Total, "60.00 of 80.00 GiB"),
        ];
        assert!((0..80).all(|width| fit(&parts, width).chars().count() <= width));
    }
}
