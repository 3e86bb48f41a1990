//! Bare numbers become bytes, each with its unit on the record.

use vramscope_core::{ByteUnit, Bytes};

use super::basis::{self, Basis, WeightsSize};
use crate::v3::{BasisUnit, ConvertedFigure, UnitBasis};
use crate::{Amount, Version};

/// The conversion of one document.
pub(super) struct Conversion<'a> {
    from: Version,
    tool: Option<&'a str>,
    weights: Option<WeightsSize>,
    units: Vec<UnitBasis>,
    notes: Vec<String>,
}

impl<'a> Conversion<'a> {
    /// Of a document of version `from`, whose GPU figures come from `tool`.
    pub(super) fn new(from: Version, tool: Option<&'a str>, weights: Option<WeightsSize>) -> Self {
        Self { from, tool, weights, units: Vec::new(), notes: Vec::new() }
    }

    /// The record: units in the order of their first figure, and notes.
    pub(super) fn finish(self) -> (Vec<UnitBasis>, Vec<String>) {
        (self.units, self.notes)
    }

    /// An amount of memory.
    pub(super) fn amount(&mut self, field: &str, written: Option<Amount>) -> Option<u64> {
        self.amount_as(field, field, written)
    }

    /// An amount of memory that is in the unit of another field.
    pub(super) fn amount_as(&mut self, field: &str, like: &str, written: Option<Amount>) -> Option<u64> {
        let written = written?.get();
        let basis = self.basis(like, written);
        self.bytes(field, written, basis).map(Bytes::get)
    }

    /// A difference of memory, which may be negative.
    pub(super) fn signed(&mut self, field: &str, written: Option<f64>) -> Option<i64> {
        let written = written?;
        let basis = self.basis(field, written);
        let size = self.convert(field, written.abs(), &basis)?;
        let size = i64::try_from(size.get()).ok().or_else(|| self.too_large(field, written))?;
        self.record(field, written, basis);
        Some(if written < 0.0 { -size } else { size })
    }

    /// An amount in a unit that the document itself names.
    pub(super) fn named(&mut self, field: &str, written: Amount, unit: &str) -> Option<u64> {
        let written = written.get();
        let table = basis::of(self.from, self.tool, field);
        let certain = |unit| Basis { unit, proven: true, reason: "the document names the unit".to_owned() };
        let basis = match unit {
            "MB" => table,
            "GB" => Basis { unit: BasisUnit::Gib, ..table },
            "MiB" => certain(BasisUnit::Mib),
            "GiB" => certain(BasisUnit::Gib),
            "B" | "bytes" => return Bytes::from_unit(written, ByteUnit::B).map(Bytes::get),
            _ => {
                self.note(format!("{field}: an amount in {unit:?} is not understood; it stays absent"));
                return None;
            }
        };
        self.bytes(field, written, basis).map(Bytes::get)
    }

    fn basis(&mut self, field: &str, written: f64) -> Basis {
        let table = basis::of(self.from, self.tool, field);
        let by_size = self.weights.filter(|_| field.ends_with("model_weights_bytes"));
        let Some(decided) = by_size.and_then(|size| size.decide(written)) else { return table };
        if decided.unit != table.unit {
            self.note(
                "the weights are in GB, as their parameters prove, and other amounts are read as GiB: if the profiler \
                 used one unit for all, those are 7.4 % too large, and the parts do not add up"
                    .to_owned(),
            );
        }
        decided
    }

    fn bytes(&mut self, field: &str, written: f64, basis: Basis) -> Option<Bytes> {
        let bytes = self.convert(field, written, &basis)?;
        self.record(field, written, basis);
        Some(bytes)
    }

    fn convert(&mut self, field: &str, written: f64, basis: &Basis) -> Option<Bytes> {
        let bytes = Bytes::from_unit(written * basis::per_unit(basis.unit), ByteUnit::B);
        bytes.or_else(|| self.too_large(field, written))
    }

    fn too_large<T>(&mut self, field: &str, written: f64) -> Option<T> {
        self.note(format!("{field}: {written} is more than any memory; it stays absent"));
        None
    }

    /// Adds a note, once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn record(&mut self, field: &str, written: f64, basis: Basis) {
        let Basis { unit, proven, reason } = basis;
        let same = |u: &UnitBasis| u.basis == unit && u.proven == proven && u.reason == reason;
        let index = self.units.iter().position(same).unwrap_or_else(|| {
            self.units.push(UnitBasis { basis: unit, proven, reason, figures: Vec::new() });
            self.units.len() - 1
        });
        let figures = &mut self.units[index].figures;
        if let Some(known) = figures.iter_mut().rev().find(|figure| figure.field == field) {
            known.count = Some(known.count.unwrap_or(1) + 1);
            known.as_written = None;
            return;
        }
        figures.push(ConvertedFigure { field: field.to_owned(), as_written: Some(written), count: None });
    }
}
