//! Emptied lists that the next request fills again, so that a request in steady state costs no allocation.
//!
//! Owned by the engine, on the sender thread; pure. It keeps a few of each kind and none that grew very long.

use super::action::Frame;
use super::answer::PartAnswer;
use super::node::Sent;

/// As many requests as are under way to a few brokers.
const KEEP: usize = 32;
/// A list that grew longer, or a buffer of more bytes for each of so many, goes.
const KEEP_LEN: usize = 1024;
const KEEP_BYTES: usize = 64 * KEEP_LEN;

#[derive(Debug, Default)]
pub(super) struct Recycled {
    frames: Vec<Frame>,
    parcels: Vec<Vec<Sent>>,
    waiting: Vec<Option<Sent>>,
    answers: Vec<PartAnswer>,
}

impl Recycled {
    pub(super) fn frame(&mut self) -> Frame {
        self.frames.pop().unwrap_or_default()
    }

    pub(super) fn keep_frame(&mut self, mut frame: Frame) {
        frame.batches.clear();
        let small = frame.head.capacity() <= KEEP_BYTES && frame.batches.capacity() <= KEEP_LEN;
        if small && self.frames.len() < KEEP {
            self.frames.push(frame);
        }
    }

    pub(super) fn parcels(&mut self) -> Vec<Sent> {
        self.parcels.pop().unwrap_or_default()
    }

    pub(super) fn keep_parcels(&mut self, mut list: Vec<Sent>) {
        list.clear();
        if (1..=KEEP_LEN).contains(&list.capacity()) && self.parcels.len() < KEEP {
            self.parcels.push(list);
        }
    }

    /// What a response is read with: the parcels that wait for their answers, and the answers.
    pub(super) fn answers(&mut self) -> (Vec<Option<Sent>>, Vec<PartAnswer>) {
        (std::mem::take(&mut self.waiting), std::mem::take(&mut self.answers))
    }

    pub(super) fn keep_answers(&mut self, mut waiting: Vec<Option<Sent>>, mut answers: Vec<PartAnswer>) {
        waiting.clear();
        answers.clear();
        if waiting.capacity() <= KEEP_LEN && answers.capacity() <= KEEP_LEN {
            (self.waiting, self.answers) = (waiting, answers);
        }
    }
}
