//! What snapshots of the framework's allocator say, with what the device showed then, as the document has it.

use vramscope_core::{Breakdown, Bytes, ComponentKind};
use vramscope_schema::v3::{AllocatorLedger, AllocatorPart};
use vramscope_snapshot::{Ledger, LedgerPart};

use crate::allocator::Joined;
use crate::known::Known;

/// Every snapshot's ledger. Without readings of devices it stands alone.
pub(super) fn ledgers(run: &Known<'_>) -> Vec<AllocatorLedger> {
    match run.derived {
        Some(derived) => derived.allocator.iter().map(|joined| beside_the_device(run, joined)).collect(),
        None => {
            let each = run.evidence.snapshots.iter();
            each.flat_map(|snapshot| snapshot.ledgers.iter().map(|ledger| inside(&snapshot.file, ledger))).collect()
        }
    }
}

fn inside(file: &str, ledger: &Ledger) -> AllocatorLedger {
    let part = |row: &LedgerPart| {
        let mut part = AllocatorPart::default();
        part.part = row.name.map(str::to_owned);
        part.size_bytes = row.bytes();
        part.kept_bytes = row.kept;
        part
    };
    let mut document = AllocatorLedger::default();
    document.file = file.to_owned();
    document.process_device = ledger.device;
    document.reserved_bytes = ledger.reserved;
    document.parts = ledger.parts.iter().map(part).collect();
    document.rounding_bytes = ledger.rounding;
    document.releasable_bytes = ledger.releasable;
    document.split_bytes = ledger.split;
    document
}

fn beside_the_device(run: &Known<'_>, joined: &Joined) -> AllocatorLedger {
    let mut document = inside(&joined.file, &joined.ledger);
    document.at_ns = joined.at.and_then(|at| u64::try_from(at.as_nanos()).ok());
    document.gpu = joined.device.map(|device| device.0);
    let breakdown = run.derived.and_then(|derived| derived.attribution.as_ref()).and_then(|attribution| {
        attribution.per_device.iter().find(|(device, _)| Some(*device) == joined.device).map(|(_, breakdown)| breakdown)
    });
    let (Some((used, moved)), Some(breakdown)) = (joined.used, breakdown) else { return document };
    document.at_peak = Some(joined.from_peak.is_some());
    document.used_bytes = Some(used.get());
    document.moved_bytes = moved.map(Bytes::get);
    outside(&mut document, used, breakdown);
    document
}

/// What is outside the allocator, and what is left.
fn outside(document: &mut AllocatorLedger, used: Bytes, breakdown: &Breakdown) {
    let known = |kind| breakdown.component(kind).map(|part| part.size.get());
    document.baseline_bytes = Some(breakdown.baseline().get());
    document.runtime_context_bytes = known(ComponentKind::RuntimeContext);
    document.collectives_bytes = known(ComponentKind::Collectives);
    let parts = [document.baseline_bytes, document.runtime_context_bytes, document.collectives_bytes];
    let explained = parts.into_iter().flatten().try_fold(document.reserved_bytes, u64::checked_add);
    let left = explained.and_then(|sum| used.checked_delta(Bytes::new(sum)));
    document.unexplained_bytes = left.map(vramscope_core::ByteDelta::get);
    let peak = breakdown.peak();
    if let Some(left) = left.filter(|_| peak > Bytes::ZERO) {
        let magnitude = left.magnitude().as_f64() / peak.as_f64() * 100.0;
        document.unexplained_pct = Some(if left.get() < 0 { -magnitude } else { magnitude });
    }
}
