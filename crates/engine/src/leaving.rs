use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use plugin::Clock;

use crate::input::InputHandle;
use crate::output::OutputHandle;
use crate::queue::Queue;
use crate::worker::Worker;

/// Plugins that were removed and still work. One that comes back under the same name takes over from them, so that
/// no name runs twice and nothing is delivered by both.
#[derive(Default)]
pub(crate) struct Leaving {
    /// They may hand on their last batch.
    inputs: BTreeMap<Arc<str>, InputHandle>,
    /// They work off their queues.
    filters: BTreeMap<Arc<str>, LeavingFilter>,
    outputs: Arc<Outputs>,
}

/// A filter that works off its queue on this worker; the channel closes when it is gone.
struct LeavingFilter {
    worker: usize,
    gone: Receiver<()>,
}

/// Outputs that deliver what is queued. An output stays here until its thread has ended, or its successor takes it.
#[derive(Default)]
struct Outputs(Mutex<BTreeMap<Arc<str>, OutputHandle>>);

/// How often it is looked whether an output has ended, and when it was told to give up.
const LOOK: Duration = Duration::from_millis(5);
const LOOK_AT_STUCK: Duration = Duration::from_millis(100);

impl Leaving {
    /// Lets an input go.
    pub fn input(&mut self, id: Arc<str>, input: InputHandle) {
        input.stop.ask();
        self.inputs.retain(|_, input| !input.finished.load(Ordering::Acquire));
        self.inputs.insert(id, input);
    }

    /// The input of this name, if it is not gone yet.
    pub fn take_input(&mut self, id: &str) -> Option<InputHandle> {
        self.inputs.remove(id)
    }

    pub fn take_inputs(&mut self) -> BTreeMap<Arc<str>, InputHandle> {
        std::mem::take(&mut self.inputs)
    }

    /// A filter was told to leave its worker, which closes the channel `gone` then.
    pub fn filter(&mut self, id: Arc<str>, worker: usize, gone: Receiver<()>) {
        self.filters.retain(|_, filter| filter.gone.recv_timeout(Duration::ZERO) == Err(RecvTimeoutError::Timeout));
        self.filters.insert(id, LeavingFilter { worker, gone });
    }

    /// Waits until a filter of this name is gone: only then all of its state is saved. Not for one whose worker is in one
    /// call for longer than `limit`.
    ///
    /// # Errors
    /// That it is not gone.
    pub fn wait_for_filter(&mut self, id: &str, workers: &[Worker], limit: Duration) -> Result<(), String> {
        let Some(LeavingFilter { worker, gone }) = self.filters.get(id) else { return Ok(()) };
        workers[*worker].closed(gone, limit).map_err(|why| format!("the one that was removed has not ended: {why}"))?;
        self.filters.remove(id);
        Ok(())
    }

    /// Has an output deliver what is queued, for as long as `grace`, in the background: a stuck output delays nobody.
    pub fn output(&mut self, id: Arc<str>, output: OutputHandle, grace: Duration) {
        output.finish();
        let (outputs, queue) = (self.outputs.clone(), output.queue.clone());
        self.outputs.lock().insert(id.clone(), output);
        std::thread::spawn(move || outputs.watch(&id, &queue, grace));
    }

    /// The output of this name, if it is not gone yet: what it has not delivered is its successor's.
    pub fn take_output(&mut self, id: &str) -> Option<OutputHandle> {
        self.outputs.lock().remove(id)
    }
}

impl Outputs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, OutputHandle>> {
        self.0.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// Tells the output with this queue to give up when its time is over, and closes the queue once it has ended;
    /// unless somebody took it over.
    fn watch(&self, id: &Arc<str>, queue: &Arc<Queue>, grace: Duration) {
        let deadline = Clock::real().steady().saturating_add(grace);
        loop {
            let over = Clock::real().steady() >= deadline;
            let mut outputs = self.lock();
            // Held to the end: who does not find it here any more may open its queue anew.
            let Some(output) = outputs.get(id).filter(|output| Arc::ptr_eq(&output.queue, queue)) else { return };
            if output.ended() {
                queue.close();
                outputs.remove(id).into_iter().for_each(OutputHandle::join);
                return;
            }
            if over {
                output.stop();
            }
            drop(outputs);
            std::thread::sleep(if over { LOOK_AT_STUCK } else { LOOK });
        }
    }
}
