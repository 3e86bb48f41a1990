//! Several workers over blocks that are cut where an event clearly begins.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::events::{End, Piece, read_events};
use super::{MAX_EVENT_BYTES, Manner, Opened, Sink};
use crate::TraceError;
use crate::event::last_boundary;

struct Block {
    text: Vec<u8>,
    offset: u64,
    last: bool,
}

/// What the workers found.
enum Found {
    /// The last block was read; what follows the array, if it is closed.
    End(Option<Vec<u8>>),
    Failed {
        offset: u64,
        error: TraceError,
    },
}

/// The workers' sinks, and what follows the event array, if it is closed.
pub(super) type Read<S> = (Vec<S>, Option<Vec<u8>>);

/// Reads all events, or gives `None` if a cut was false and the file must be read again.
pub(super) fn read<S: Sink + Send>(
    opened: &mut Opened,
    manner: Manner,
    sinks: Vec<S>,
) -> Result<Option<Read<S>>, TraceError> {
    let false_cut = AtomicBool::new(false);
    let stop = AtomicBool::new(false);
    let (block_out, block_in) = mpsc::sync_channel::<Block>(sinks.len() + 1);
    let (empty_out, empty_in) = mpsc::channel::<Vec<u8>>();
    let (found_out, found_in) = mpsc::channel::<Found>();
    let block_in = Mutex::new(block_in);
    let (sinks, fed) = thread::scope(|scope| {
        let workers: Vec<_> = sinks
            .into_iter()
            .map(|mut sink| {
                let (block_in, false_cut, stop) = (&block_in, &false_cut, &stop);
                let (empty_out, found_out) = (empty_out.clone(), found_out.clone());
                scope.spawn(move || {
                    // Blocks come in order, so every block before a failing one is read too: the first defect of the
                    // file is the one that is told, and an error behind a false cut is never believed.
                    while let Some(block) = next(block_in) {
                        work(&block, &mut sink, false_cut, stop, &found_out);
                        // The reader may have finished; then nobody wants the buffer back.
                        let _ = empty_out.send(block.text);
                    }
                    sink
                })
            })
            .collect();
        let fed = feed(opened, manner, &block_out, &empty_in, &stop);
        drop(block_out);
        let sinks: Vec<S> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        (sinks, fed)
    });
    drop(found_out);
    let whole = fed?;
    if !whole || false_cut.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let mut trailer = None;
    let mut failed: Option<(u64, TraceError)> = None;
    for found in found_in {
        match found {
            Found::End(end) => trailer = end,
            Found::Failed { offset, error } if failed.as_ref().is_none_or(|(first, _)| offset < *first) => {
                failed = Some((offset, error));
            }
            Found::Failed { .. } => {}
        }
    }
    match failed {
        Some((_, error)) => Err(error),
        None => Ok(Some((sinks, trailer))),
    }
}

fn next(blocks: &Mutex<Receiver<Block>>) -> Option<Block> {
    blocks.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn work(block: &Block, sink: &mut impl Sink, false_cut: &AtomicBool, stop: &AtomicBool, found: &mpsc::Sender<Found>) {
    let piece = Piece { text: &block.text, offset: block.offset, last: block.last, cut: !block.last };
    let end = match read_events(piece, sink) {
        Ok(end) => end,
        Err(error) => {
            stop.store(true, Ordering::Relaxed);
            // The receiver outlives the workers.
            let _ = found.send(Found::Failed { offset: block.offset, error });
            return;
        }
    };
    match end {
        End::Between if !block.last => {}
        End::Between | End::Within(_) if block.last => {
            let _ = found.send(Found::End(None));
        }
        End::Closed(at) if block.last => {
            let _ = found.send(Found::End(Some(block.text[at..].to_vec())));
        }
        _ => {
            false_cut.store(true, Ordering::Relaxed);
            stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Cuts the text into blocks; `false` if no cut can be found.
fn feed(
    opened: &mut Opened,
    manner: Manner,
    blocks: &SyncSender<Block>,
    empty: &Receiver<Vec<u8>>,
    stop: &AtomicBool,
) -> Result<bool, TraceError> {
    let mut text = std::mem::take(&mut opened.ahead);
    let mut offset = opened.offset;
    let mut last = false;
    let mut wanted = manner.block_bytes;
    while !last && !stop.load(Ordering::Relaxed) {
        if text.len() < wanted {
            let missing = wanted - text.len();
            last = opened.input.read(&mut text, missing)? < missing;
        }
        let cut = if last { Some(text.len()) } else { last_boundary(&text) };
        let Some(cut) = cut else {
            if text.len() > MAX_EVENT_BYTES {
                return Ok(false);
            }
            wanted = text.len() * 2;
            continue;
        };
        let mut next = empty.try_recv().unwrap_or_default();
        next.clear();
        next.extend_from_slice(&text[cut..]);
        text.truncate(cut);
        let block = Block { text, offset, last };
        if blocks.send(block).is_err() {
            return Ok(false);
        }
        offset += cut as u64;
        text = next;
        wanted = manner.block_bytes;
    }
    Ok(true)
}
