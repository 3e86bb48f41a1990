//! GPU logs in CSV with named columns: our own recordings, and what `nvidia-smi --query-gpu=… --format=csv -lms N`
//! writes.

use std::io;

use vramscope_core::{Bytes, DeviceIndex, Reading};
use vramscope_gpu::document::MAX_GPUS;
use vramscope_gpu::smi_csv::{Cell, CellError};

use super::gpu_log::{GpuLog, GpuLogError, Note, Row, assemble};
use cell::{throttle, time};
use columns::{Column, Columns};

mod cell;
mod columns;

/// A log of more rows than this is refused: a day of eight GPUs at 100 ms is seven million, and each row takes about
/// a hundred bytes of memory.
const MAX_ROWS: usize = 10_000_000;

/// A line longer than this is not a row of a GPU log, and is skipped before it can fill the memory.
const MAX_LINE: usize = 64 << 10;

/// The header is looked for in so many lines.
const LINES_BEFORE_HEADER: usize = 5;

/// Only so many unreadable lines are named one by one; the rest are counted.
const NAMED_LINES: u64 = 5;

/// Reads a GPU log as a stream. Lines that cannot be read become notes; a log without any readable line is an error.
///
/// # Errors
/// [`GpuLogError`] if the source fails, if there is no header with the columns that are needed, or no readable row.
pub(crate) fn read(source: impl io::Read) -> Result<GpuLog, GpuLogError> {
    let mut lines = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .quoting(true)
        .from_reader(io::BufReader::with_capacity(1 << 16, Bounded::new(source)));
    let mut record = csv::ByteRecord::new();
    // A terminal may have put its prompt or a date before the header. The first line that is none is the one to name.
    let (mut tried, mut refused) = (0, None);
    let columns = loop {
        if tried == LINES_BEFORE_HEADER || !lines.read_byte_record(&mut record).map_err(GpuLogError::from_csv)? {
            return Err(refused.unwrap_or(GpuLogError::Empty));
        }
        if record.iter().all(|cell| cell.trim_ascii().is_empty()) {
            continue;
        }
        tried += 1;
        match Columns::of_header(&record) {
            Ok(columns) => break columns,
            Err(error) => refused = refused.or(Some(error)),
        }
    };
    let mut reader = RowReader::new(columns);
    while lines.read_byte_record(&mut record).map_err(GpuLogError::from_csv)? {
        reader.take(&record, lines.position().line())?;
    }
    reader.finish()
}

/// Why a line is no row.
#[derive(Debug, thiserror::Error)]
enum RowFault {
    #[error("{found} cells where the header has {expected}")]
    Cells { found: usize, expected: usize },
    #[error(transparent)]
    Cell(#[from] CellError),
    #[error("no device index")]
    NoIndex,
    #[error("no figure for the memory in use")]
    NoUsed,
    #[error("{used} in use of {total} in all")]
    MoreThanAll { used: Bytes, total: Bytes },
    #[error("a device without memory")]
    NoMemory,
}

/// Rows under construction.
struct RowReader {
    columns: Columns,
    rows: Vec<Row>,
    details: super::gpu_log::Details,
    unreadable: u64,
    notes: Vec<Note>,
    /// Without an index, the devices by their UUID or bus address, in the order in which they came.
    named: Vec<Vec<u8>>,
    /// The last unreadable line, reported only when another line follows it: at the very end it is a torn line.
    pending: Option<(u64, String)>,
}

impl RowReader {
    fn new(columns: Columns) -> Self {
        Self {
            columns,
            rows: Vec::new(),
            details: super::gpu_log::Details::default(),
            unreadable: 0,
            notes: Vec::new(),
            named: Vec::new(),
            pending: None,
        }
    }

    fn take(&mut self, record: &csv::ByteRecord, next_line: u64) -> Result<(), GpuLogError> {
        let line = record.position().map_or(next_line, csv::Position::line);
        if record.len() == 1 && record.get(0).is_some_and(|cell| cell.trim_ascii().is_empty()) {
            return Ok(());
        }
        // A concatenated log repeats its header; that is no damage.
        if self.columns.repeats(record) {
            return Ok(());
        }
        self.flush_pending();
        match self.row(record, line).map_err(|fault| fault.to_string()) {
            Ok(mut row) => {
                if let Some(column) = self.columns.name_in_place_of_index() {
                    row.device = self.place_of(record.get(column).unwrap_or_default().trim_ascii());
                }
                self.details.admit(&row)?;
                match self.describe(&row, record) {
                    Ok(()) if self.rows.len() == MAX_ROWS => return Err(GpuLogError::TooLong { rows: MAX_ROWS }),
                    Ok(()) => self.rows.push(row),
                    Err(reason) => self.pending = Some((line, reason)),
                }
            }
            Err(reason) => self.pending = Some((line, reason)),
        }
        Ok(())
    }

    /// The place of a device that is known by its name alone. Of more than there can be, the first too many is refused by
    /// who counts devices.
    fn place_of(&mut self, name: &[u8]) -> DeviceIndex {
        let place = self.named.iter().position(|known| known == name).unwrap_or_else(|| {
            if self.named.len() <= MAX_GPUS {
                self.named.push(name.to_owned());
            }
            self.named.len() - 1
        });
        DeviceIndex(u32::try_from(place).unwrap_or(u32::MAX))
    }

    fn flush_pending(&mut self) {
        if let Some((line, reason)) = self.pending.take() {
            self.unreadable += 1;
            if self.unreadable <= NAMED_LINES {
                self.notes.push(Note::Unreadable { line, reason });
            }
        }
    }

    fn row(&self, record: &csv::ByteRecord, line: u64) -> Result<Row, RowFault> {
        if record.len() < self.columns.len() {
            return Err(RowFault::Cells { found: record.len(), expected: self.columns.len() });
        }
        let mut row = Row { line, unix_ns: 0, device: DeviceIndex(0), reading: Reading::default() };
        let mut used = None;
        for (column, cell) in self.columns.iter().zip(record.iter()) {
            let (cell, head) = (Cell::of_bytes(cell), &column.head());
            match column.kind {
                Column::Timestamp => row.unix_ns = time(cell, head)?,
                Column::Index => row.device = DeviceIndex(cell.whole(head)?.ok_or(RowFault::NoIndex)?),
                Column::Used => used = cell.bytes(head)?,
                Column::Total => row.reading.total = cell.bytes(head)?,
                Column::Reserved => row.reading.reserved = cell.bytes(head)?,
                Column::Power => row.reading.power_mw = cell.power_mw(head)?,
                Column::PowerAverage => row.reading.power_average_mw = cell.power_mw(head)?,
                Column::Temperature => row.reading.temperature_c = cell.whole(head)?,
                Column::MemoryTemperature => row.reading.memory_temperature_c = cell.whole(head)?,
                Column::Utilization => row.reading.utilization_pct = cell.percent(head)?,
                Column::MemoryUtilization => row.reading.memory_utilization_pct = cell.percent(head)?,
                Column::SmClock => row.reading.sm_clock_mhz = cell.whole(head)?,
                Column::MemoryClock => row.reading.memory_clock_mhz = cell.whole(head)?,
                Column::Energy => row.reading.energy_mj = cell.whole(head)?,
                Column::Throttle => row.reading.throttle = throttle(cell),
                Column::Uuid | Column::Name | Column::PciBusId | Column::Processes | Column::Other => {}
            }
        }
        row.reading.used = used.ok_or(RowFault::NoUsed)?;
        if !self.columns.has_both_powers() {
            row.reading.power_mw = row.reading.power_mw.or(row.reading.power_average_mw.take());
        }
        check(&row.reading)?;
        Ok(row)
    }

    /// Takes what a row says of the device itself and of its processes.
    fn describe(&mut self, row: &Row, record: &csv::ByteRecord) -> Result<(), String> {
        let text = |cell: &[u8]| String::from_utf8_lossy(cell.trim_ascii()).into_owned();
        if self.details.lacks_identity(row.device) {
            self.details.set(row.device, |device| {
                for (column, cell) in self.columns.iter().zip(record.iter()) {
                    match column.kind {
                        Column::Uuid => device.uuid = Some(text(cell)),
                        Column::Name => device.name = Some(text(cell)),
                        Column::PciBusId => device.pci_bus_id = Some(text(cell)),
                        _ => {}
                    }
                }
            });
        }
        match self.columns.processes().and_then(|place| record.get(place)) {
            None => Ok(()),
            Some(cell) if cell.trim_ascii().is_empty() => {
                self.details.note_process_column();
                Ok(())
            }
            Some(cell) => self.details.processes(row, &text(cell)),
        }
    }

    fn finish(mut self) -> Result<GpuLog, GpuLogError> {
        if let Some((line, reason)) = self.pending.take() {
            self.notes.push(Note::TornLastLine { line, reason });
        }
        if self.unreadable > NAMED_LINES {
            self.notes.push(Note::MoreUnreadable { lines: self.unreadable - NAMED_LINES });
        }
        if self.rows.is_empty() {
            return Err(GpuLogError::NoRows { first: self.notes.into_iter().next() });
        }
        let mut notes = self.columns.notes();
        if !self.named.is_empty() {
            notes.push(Note::NumberedByName { devices: self.named.len() });
        }
        notes.append(&mut self.notes);
        Ok(assemble(self.rows, self.details, self.columns.clock(), notes))
    }
}

/// Figures that contradict each other are damage, not measurements.
fn check(reading: &Reading) -> Result<(), RowFault> {
    match reading.total {
        Some(total) if reading.used > total => Err(RowFault::MoreThanAll { used: reading.used, total }),
        Some(Bytes::ZERO) => Err(RowFault::NoMemory),
        _ => Ok(()),
    }
}

/// Cuts lines that no GPU log has, so that junk without line ends cannot fill the memory.
struct Bounded<R> {
    source: R,
    since_line_end: usize,
}

impl<R> Bounded<R> {
    fn new(source: R) -> Self {
        Self { source, since_line_end: 0 }
    }
}

impl<R: io::Read> io::Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        let got = &buffer[..n];
        match got.iter().rposition(|&b| b == b'\n') {
            Some(last) => self.since_line_end = n - last - 1,
            None => self.since_line_end += n,
        }
        if self.since_line_end > MAX_LINE {
            let why = format!("no line end within {MAX_LINE} bytes: this is not a CSV file");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use vramscope_core::{ByteUnit, Window};

    use super::*;
    use crate::evidence::gpu_log::Clock;

    const OURS: &str = "timestamp_ns,gpu_index,used_bytes,total_bytes,reserved_bytes,power_mw,temp_c,util_gpu_pct\n\
        1000000000,0,5,100,7,125552,40,0\n\
        1020000000,0,6,100,7,125552,40,99\n";

    #[test]
    fn our_own_columns() {
        let log = read(OURS.as_bytes()).unwrap();
        let samples = log.timeline.samples();
        assert_eq!(samples.len(), 2);
        assert_eq!(samples[1].at.as_millis(), 20);
        assert_eq!(samples[1].reading.power_mw, Some(125_552));
        assert_eq!(samples[1].reading.utilization_pct, Some(99));
        assert_eq!(log.timeline.anchor_unix_ns(), Some(1_000_000_000));
        assert_eq!(log.clock, Clock::Utc);
        assert!(log.notes.is_empty(), "{:?}", log.notes);
    }

    #[test]
    fn a_prompt_before_the_header_is_passed_over_and_what_has_no_header_is_named_by_its_first_line() {
        let prompt = "user@node:~$ nvidia-smi --query-gpu=timestamp,index --format=csv -l 1\n\n";
        assert_eq!(read(format!("{prompt}{OURS}").as_bytes()).unwrap().timeline.samples().len(), 2);
        let none = "1, 2, 3\n".repeat(9);
        let error = read(none.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }

    #[test]
    fn nvidia_smi_with_and_without_units() {
        let with = "timestamp, index, memory.used [MiB], memory.total [MiB], power.draw [W], temperature.gpu\n\
            2026/11/22 05:24:13.250, 0, 3 MiB, 143771 MiB, 125.55 W, 40\n\
            2026/11/22 05:24:13.251, 1, 4 MiB, 143771 MiB, [N/A], 41\n";
        let log = read(with.as_bytes()).unwrap();
        let [a, b] = log.timeline.samples() else { panic!("two samples") };
        assert_eq!((a.reading.used.get(), a.reading.power_mw), (3 << 20, Some(125_550)));
        assert_eq!((b.reading.used.get(), b.reading.power_mw), (4 << 20, None));
        assert_eq!(a.tick, b.tick, "devices read one after the other belong to one tick");
        assert_eq!(log.clock, Clock::LocalUnknown);
        let without = "timestamp, index, memory.used [MiB]\n2026/11/22 05:24:13.250, 0, 3\n";
        assert_eq!(read(without.as_bytes()).unwrap().timeline.samples()[0].reading.used.get(), 3 << 20);
    }

    #[test]
    fn devices_without_an_index_are_told_apart_by_their_names() {
        for key in ["uuid", "pci.bus_id"] {
            let mut text = format!("timestamp, {key}, memory.used [MiB]\n");
            for second in 0..3 {
                for (device, used) in [("GPU-b", 7), ("GPU-a", 5), ("GPU-c", 9)] {
                    text += &format!("2026/11/22 05:24:1{second}.250, {device}, {used} MiB\n");
                }
            }
            let log = read(text.as_bytes()).unwrap();
            let used = |index| {
                let of_device = log.timeline.of_device(DeviceIndex(index), Window::ALL);
                of_device.map(|sample| sample.reading.used.get() >> 20).collect::<Vec<_>>()
            };
            assert_eq!([used(0), used(1), used(2)], [[7; 3], [5; 3], [9; 3]], "{key}");
            assert_eq!(log.notes, [Note::NumberedByName { devices: 3 }], "{key}");
        }
        let one = "timestamp, memory.used [MiB]\n2026/11/22 05:24:13.250, 3\n";
        assert_eq!(read(one.as_bytes()).unwrap().notes, [Note::NoIndexColumn]);
    }

    #[test]
    fn what_our_sampler_writes_as_csv_is_read_back() {
        use vramscope_core::{Sample, Throttle, Timeline};
        let mut timeline = Timeline::new(Some(1_000_000_000));
        let full = Reading {
            used: Bytes::new(5),
            total: Some(Bytes::new(100)),
            reserved: Some(Bytes::new(7)),
            power_mw: None,
            power_average_mw: Some(3),
            temperature_c: Some(40),
            memory_temperature_c: Some(50),
            utilization_pct: Some(0),
            memory_utilization_pct: Some(1),
            sm_clock_mhz: Some(345),
            memory_clock_mhz: Some(1593),
            energy_mj: Some(u64::MAX),
            throttle: Some(Throttle::NONE),
        };
        let held = Reading { throttle: Some(Throttle::POWER.with(Throttle::IDLE)), power_mw: Some(9), ..full };
        let bare = Reading { used: Bytes::new(1), ..Reading::default() };
        for (tick, reading) in (0u32..).zip([full, held, bare]) {
            let at = std::time::Duration::from_millis(100 * u64::from(tick));
            timeline.push(Sample { at, tick, device: DeviceIndex(2), reading }).unwrap();
        }
        let mut text = Vec::new();
        vramscope_timeline::document::csv::write(&mut text, &timeline).unwrap();
        let log = read(text.as_slice()).unwrap();
        assert_eq!(log.timeline.samples(), timeline.samples());
        assert_eq!(log.timeline.anchor_unix_ns(), timeline.anchor_unix_ns());
        assert!(log.notes.is_empty(), "{:?}", log.notes);
    }

    #[test]
    fn a_torn_last_line_is_a_note_and_a_torn_middle_line_names_itself() {
        let torn = format!("{OURS}1040000000,0,7,10");
        let log = read(torn.as_bytes()).unwrap();
        assert_eq!(log.timeline.samples().len(), 2);
        assert!(matches!(log.notes[..], [Note::TornLastLine { line: 4, .. }]), "{:?}", log.notes);
        let middle = format!("{OURS}junk\n1060000000,0,7,100,7,1,1,1\n");
        let log = read(middle.as_bytes()).unwrap();
        assert_eq!(log.timeline.samples().len(), 3);
        assert!(matches!(log.notes[..], [Note::Unreadable { line: 4, .. }, ..]), "{:?}", log.notes);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = read(&b"timestamp_ns,gpu_index,power_mw\n1,0,2\n"[..]).unwrap_err();
        assert!(error.to_string().contains("memory in use"), "{error}");
        assert!(matches!(read(&b""[..]), Err(GpuLogError::Empty)));
        assert!(read(&[0u8, 159, 146, 150, 10, 255][..]).is_err());
        let endless = vec![b'x'; 1 << 20];
        assert!(matches!(read(&endless[..]), Err(GpuLogError::Read { .. })));
    }

    #[test]
    fn negative_and_impossible_figures_are_not_measurements() {
        for bad in ["-5,100", "NaN,100", "101,100", "1e3,100", "99999999999999999999999,100"] {
            let text = format!("timestamp_ns,gpu_index,used_bytes,total_bytes\n1,0,{bad}\n2,0,1,100\n");
            let log = read(text.as_bytes()).unwrap();
            assert_eq!(log.timeline.samples().len(), 1, "{bad}");
            assert_eq!(log.notes.len(), 1, "{bad}");
        }
    }

    /// Two ticks of so many devices, of which each holds one MiB more than the one before.
    fn of_devices(count: u32) -> String {
        let tick = |second: u32| {
            let row = move |d| format!("2026/11/22 05:24:{second:02}.000, {d}, GPU-{d}, {} MiB, 99999 MiB\n", d + 1);
            (0..count).map(row).collect::<String>()
        };
        format!("timestamp, index, uuid, memory.used [MiB], memory.total [MiB]\n{}{}", tick(1), tick(2))
    }

    #[test]
    fn a_log_of_a_thousand_devices_is_read_right() {
        let count = u32::try_from(MAX_GPUS).unwrap();
        let log = read(of_devices(count).as_bytes()).unwrap();
        assert!(log.notes.is_empty(), "{:?}", log.notes);
        assert_eq!((log.timeline.devices().len(), log.timeline.ticks().count()), (MAX_GPUS, 2));
        for (device, index) in log.timeline.devices().iter().zip(0..) {
            let expected =
                (DeviceIndex(index), Some(format!("GPU-{index}")), Bytes::from_unit(99_999.0, ByteUnit::MiB));
            assert_eq!((device.index, device.uuid.clone(), device.total), expected);
        }
        let whole = u64::from(count * (count + 1) / 2) << 20;
        assert_eq!(log.timeline.total_used(Window::ALL).map(|s| (s.n, s.max.get())), Some((2, whole)));
    }

    #[test]
    fn more_devices_than_a_machine_has_are_refused_at_their_line() {
        let error = read(of_devices(u32::try_from(MAX_GPUS).unwrap() + 1).as_bytes()).unwrap_err();
        assert!(matches!(error, GpuLogError::TooManyDevices { line: 1026, device: DeviceIndex(1024) }), "{error:?}");
        let text = error.to_string();
        assert!(["line 1026", "device 1024", "at most 1024", "cut"].iter().all(|part| text.contains(part)), "{text}");
    }

    #[test]
    fn absent_is_not_zero() {
        let text = "timestamp_ns,gpu_index,used_bytes,power_mw\n1,0,5,[Not Supported]\n2,0,5,\n3,0,5,0\n";
        let log = read(text.as_bytes()).unwrap();
        let power: Vec<_> = log.timeline.samples().iter().map(|s| s.reading.power_mw).collect();
        assert_eq!(power, [None, None, Some(0)]);
        assert_eq!(log.timeline.total_used(Window::ALL).unwrap().n, 3);
    }
}
