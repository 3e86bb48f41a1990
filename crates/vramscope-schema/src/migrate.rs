//! Earlier documents become current ones: one pure step a version, and the unit of each number on the record.

mod basis;
mod detail;
mod figures;
mod v1_to_v2;
mod v2_to_v3;
mod v3_0_to_v3_1;
mod words;

use crate::read::{Loaded, UnknownField};
use crate::v3::{Migration, UnitBasis};
use crate::{Version, v1, v2, v3_0};

/// Migrates a document of version 1.
pub(crate) fn from_v1(old: v1::Profile, from: Version, unknown: &[UnknownField]) -> Loaded {
    let (old, notes) = v1_to_v2::migrate(old);
    second(old, from, unknown, notes)
}

/// Migrates a document of version 2.
pub(crate) fn from_v2(old: v2::Profile, from: Version, unknown: &[UnknownField]) -> Loaded {
    second(old, from, unknown, Vec::new())
}

/// Migrates a document of version 3.0.
pub(crate) fn from_v3_0(old: v3_0::Profile, from: Version, unknown: &[UnknownField]) -> Loaded {
    last(old, from, unknown, Vec::new())
}

fn second(old: v2::Profile, from: Version, unknown: &[UnknownField], mut notes: Vec<String>) -> Loaded {
    let (old, more) = v2_to_v3::migrate(old);
    notes.extend(more);
    last(old, from, unknown, notes)
}

fn last(old: v3_0::Profile, from: Version, unknown: &[UnknownField], mut notes: Vec<String>) -> Loaded {
    let (mut profile, units, more) = v3_0_to_v3_1::migrate(old, from);
    notes.extend(more);
    notes.extend(doubt(&units));
    notes.extend(unknown.iter().map(|field| field.note(from)));
    profile.migration = Some(Migration { from: from.to_string(), units, notes: notes.clone() });
    Loaded { profile, from, notes }
}

/// What rests on a unit that nothing proves.
fn doubt(units: &[UnitBasis]) -> Option<String> {
    let fields = |proven| units.iter().filter(|u| proven || !u.proven).map(|u| u.figures.len()).sum::<usize>();
    let (unproven, all) = (fields(false), fields(true));
    (unproven > 0).then(|| {
        format!(
            "{unproven} of {all} amounts were written in a unit that the document does not prove (see migration.units): \
             each may be off by 7.4 %"
        )
    })
}
