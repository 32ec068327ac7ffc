use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use options::Problem;
use plugin::Carried;

use crate::engine::{Engine, FilterHandle, Running};
use crate::output::OutputHandle;
use crate::plan::{ConsumerPlan, InputPlan, Plan};
use crate::status::Made;
use crate::watch::hash;
use crate::worker::Command;

/// What a reload did with one plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Added,
    Removed,
    Changed,
    /// A new version of a filter took over.
    Reloaded(Carried),
    /// The new version failed; the old one runs on.
    Kept(String),
    /// A script in a watched directory that does not run.
    Refused(String),
}

/// What a reload did: nothing for the plugins that are not named.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Report {
    pub changes: Vec<(String, Change)>,
    /// Number of the state of affairs after it.
    pub generation: u64,
}

impl Report {
    /// True unless an old version had to be kept.
    pub fn succeeded(&self) -> bool {
        !self.changes.iter().any(|(_, c)| matches!(c, Change::Kept(_) | Change::Refused(_)))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Added => f.write_str("added"),
            Change::Removed => f.write_str("removed"),
            Change::Changed => f.write_str("changed"),
            Change::Kept(why) => write!(f, "the old version runs on: {why}"),
            Change::Refused(why) => write!(f, "does not run: {why}"),
            Change::Reloaded(carried) => {
                write!(f, "reloaded{}", self::carried(carried))
            }
        }
    }
}

/// `; carried over: …; reset: …`, as far as there is something.
pub(crate) fn carried(carried: &Carried) -> String {
    let lists = [("carried over", &carried.carried), ("reset", &carried.reset), ("not saved", &carried.unsaved)];
    let some = lists.into_iter().filter(|(_, names)| !names.is_empty());
    some.map(|(what, names)| format!("; {what}: {}", names.join(", "))).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            writeln!(f, "nothing changed")?;
        }
        self.changes.iter().try_for_each(|(id, change)| writeln!(f, "{id}: {change}"))
    }
}

/// How long whoever asked waits for a filter's probation.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer = (String, Receiver<Result<Carried, String>>);

impl Engine {
    /// Goes over to another plan, touching only what differs. A running plugin is replaced between
    /// two of its messages; when its new version fails at once, the old one goes on.
    ///
    /// # Errors
    /// What is wrong with the plan; nothing was touched then.
    pub fn reload(&self, mut plan: Plan) -> Result<Report, Vec<Problem>> {
        plan.check()?;
        if plan.state() != self.lock().plan.state() {
            return Err(vec![Problem::new("`state` cannot change while running").help("restart nilo to use another state directory")]);
        }
        let (mut report, mut answers) = (Report::default(), Vec::new());
        self.keep_troubled(&mut plan, &mut report);
        let plan = Arc::new(plan);
        let removed;
        {
            let mut running = self.lock();
            self.reload_outputs(&mut running, &plan, &mut report);
            self.reload_filters(&mut running, &plan, &mut report, &mut answers);
            self.swap_table(&running);
            removed = self.remove_consumers(&mut running, &plan, &mut report);
            self.reload_inputs(&mut running, &plan, &mut report);
            running.plan = plan;
            self.enlist(&mut running);
        }
        // A filter of the same name that comes back finds its state saved.
        for gone in removed {
            let _ = gone.recv_timeout(PATIENCE);
        }
        // Scripts may have changed along with the configuration.
        self.reload_scripts(&mut report, &mut answers);
        self.collect(report, answers)
    }

    /// A script in a watched directory that is broken now: the version that runs goes on.
    fn keep_troubled(&self, plan: &mut Plan, report: &mut Report) {
        let mut running = self.lock();
        let known: BTreeSet<(String, String)> = running.plan.troubles.iter().map(|t| (t.id.clone(), t.problem.to_string())).collect();
        for trouble in &plan.troubles {
            let why = trouble.problem.to_string();
            let told = known.contains(&(trouble.id.clone(), why.clone()));
            // One of that name may be configured, and is another.
            let configured = plan.filters.iter().any(|f| *f.id == *trouble.id);
            let runs = running.filters.get(trouble.id.as_str()).filter(|_| !configured).map(|f| f.plan.clone());
            if let Some(old) = &runs {
                running.standing(&old.id).shared.set_error(why.clone());
                // This version was tried: its content counts as known.
                self.files_changed(&mut running, &old.id, Made::Own, &mut HashMap::new());
            }
            if !told {
                let change = if runs.is_some() { Change::Kept(why) } else { Change::Refused(why) };
                report.changes.push((trouble.id.clone(), change));
            }
            plan.filters.extend(runs);
        }
    }

    /// Replaces the plugins of which a file changed.
    pub fn reload_changed_scripts(&self) -> Report {
        let (mut report, mut answers) = (Report::default(), Vec::new());
        self.reload_scripts(&mut report, &mut answers);
        self.collect(report, answers).unwrap_or_default()
    }

    fn collect(&self, mut report: Report, answers: Vec<Answer>) -> Result<Report, Vec<Problem>> {
        for (id, answer) in answers {
            let change = match answer.recv_timeout(PATIENCE) {
                Ok(Ok(carried)) => Change::Reloaded(carried),
                Ok(Err(why)) => Change::Kept(why),
                Err(_) => Change::Kept("the filter's worker gave no answer within 10 s".to_string()),
            };
            if let Some(filter) = self.lock().filters.get_mut(id.as_str()) {
                filter.refused = matches!(change, Change::Kept(_));
            }
            report.changes.push((id, change));
        }
        if !report.changes.is_empty() {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        report.generation = self.generation.load(Ordering::Relaxed);
        Ok(report)
    }

    fn reload_outputs(&self, running: &mut Running, plan: &Arc<Plan>, report: &mut Report) {
        for output in &plan.outputs {
            let change = match running.outputs.get_mut(&output.id) {
                Some(old) if old.plan.same_as(output) => {
                    old.queue.configure(output.rules());
                    old.plan = output.clone();
                    continue;
                }
                Some(_) => Change::Changed,
                None => Change::Added,
            };
            // Also one that was removed a moment ago and still delivers.
            let predecessor = running.outputs.remove(&output.id).or_else(|| running.leaving.take_output(&output.id));
            // A stuck one must not delay this: its successor waits for it on its own thread.
            predecessor.iter().for_each(OutputHandle::stop);
            let outcome = self.start_output(running, plan, output, predecessor);
            report.changes.push((output.id.to_string(), outcome.map_or_else(Change::Kept, |()| change)));
        }
    }

    fn reload_filters(&self, running: &mut Running, plan: &Arc<Plan>, report: &mut Report, answers: &mut Vec<Answer>) {
        for filter in &plan.filters {
            match running.filters.get(&filter.id).map(|old| old.plan.same_as(filter) && !old.refused) {
                Some(true) => {
                    if let Some(old) = running.filters.get_mut(&filter.id) {
                        old.queue.configure(filter.rules());
                        old.plan = filter.clone();
                    }
                }
                Some(false) => answers.extend(self.replace(running, plan, filter)),
                None => {
                    let outcome = self.start_filter(running, plan, filter);
                    report.changes.push((filter.id.to_string(), outcome.map_or_else(Change::Kept, |()| Change::Added)));
                }
            }
        }
    }

    /// Asks a filter's worker to put a new instance in its place.
    fn replace(&self, running: &mut Running, plan: &Arc<Plan>, filter: &Arc<ConsumerPlan>) -> Option<Answer> {
        let queue = running.filters.get(&filter.id)?.queue.clone();
        queue.configure(filter.rules());
        let seed = Box::new(self.slot_seed(running, plan, filter, queue));
        let handle = running.filters.get_mut(&filter.id)?;
        handle.plan = filter.clone();
        let (answer, answered) = bounded(1);
        let command = Command::Replace { slot: handle.slot, seed, answer };
        running.workers.get(handle.worker)?.inbox.send(command);
        Some((filter.id.to_string(), answered))
    }

    /// Lets go what the plan has no more; the table does not name it any longer.
    fn remove_consumers(&self, running: &mut Running, plan: &Arc<Plan>, report: &mut Report) -> Vec<Receiver<()>> {
        let wanted: BTreeSet<&str> = plan.plugins().map(|(id, _)| id).collect();
        let gone: Vec<Arc<str>> =
            running.filters.keys().chain(running.outputs.keys()).filter(|id| !wanted.contains(&***id)).cloned().collect();
        if gone.is_empty() {
            return Vec::new();
        }
        for id in &gone {
            running.standing(id).shared.forget_files();
            report.changes.push((id.to_string(), Change::Removed));
        }
        let filters: Vec<_> = gone.iter().filter_map(|id| running.filters.remove(id)).collect();
        let outputs: Vec<_> = gone.iter().filter_map(|id| running.outputs.remove(id)).collect();
        self.swap_table(running);
        outputs.into_iter().for_each(|output| running.leaving.output(output.plan.id.clone(), output, plan.globals.grace));
        filters.into_iter().map(|filter| remove_filter(running, filter)).collect()
    }

    fn reload_inputs(&self, running: &mut Running, plan: &Arc<Plan>, report: &mut Report) {
        let wanted: BTreeSet<&str> = plan.inputs.iter().map(|i| &*i.id).collect();
        let gone: Vec<Arc<str>> = running.inputs.keys().filter(|id| !wanted.contains(&***id)).cloned().collect();
        for id in gone {
            if let Some(input) = running.inputs.remove(&id) {
                running.standing(&id).shared.forget_files();
                report.changes.push((id.to_string(), Change::Removed));
                running.leaving.input(id, input);
                self.tell_input_ended();
            }
        }
        for input in &plan.inputs {
            let change = match running.inputs.get(&input.id) {
                Some(old) if old.plan.same_as(input) => continue,
                Some(_) => Change::Changed,
                None => Change::Added,
            };
            // Also one that was removed a moment ago: it may have read what it has not handed on yet.
            let predecessor = running.inputs.remove(&input.id).or_else(|| running.leaving.take_input(&input.id));
            predecessor.iter().for_each(|old| old.stop.ask());
            let outcome = self.start_input(running, plan, input, predecessor);
            report.changes.push((input.id.to_string(), outcome.map_or_else(Change::Kept, |()| change)));
        }
    }

    fn reload_scripts(&self, report: &mut Report, answers: &mut Vec<Answer>) {
        let mut running = self.lock();
        let plan = running.plan.clone();
        let asked: BTreeSet<String> = answers.iter().map(|(id, _)| id.clone()).collect();
        let mut hashes = HashMap::new();
        for filter in &plan.filters {
            if !asked.contains(&*filter.id) && self.files_changed(&mut running, &filter.id, Made::Own, &mut hashes) {
                answers.extend(self.replace(&mut running, &plan, filter));
            }
        }
        for output in &plan.outputs {
            let id = &output.id;
            if self.files_changed(&mut running, id, Made::Own, &mut hashes) {
                report.changes.push((id.to_string(), self.renew_output(&mut running, &plan, output)));
            } else if self.files_changed(&mut running, id, Made::Codecs, &mut hashes) {
                let codecs = output.encoder.iter();
                let change = change_of(codecs.filter_map(|spec| plan.try_build(spec)));
                if let (Some(handle), Change::Reloaded(_)) = (running.outputs.get(id), &change) {
                    handle.renew();
                }
                report.changes.push((id.to_string(), change));
            }
        }
        for input in &plan.inputs {
            let id = &input.id;
            if self.files_changed(&mut running, id, Made::Own, &mut hashes) {
                report.changes.push((id.to_string(), self.renew_input(&mut running, &plan, input)));
            } else if self.files_changed(&mut running, id, Made::Codecs, &mut hashes) {
                let codecs = std::iter::once(&input.decoder).chain(&input.transforms);
                let change = change_of(codecs.filter_map(|spec| plan.try_build(spec)));
                if let (Some(handle), Change::Reloaded(_)) = (running.inputs.get(id), &change) {
                    handle.renew.fetch_add(1, Ordering::AcqRel);
                }
                report.changes.push((id.to_string(), change));
            }
        }
    }

    /// Starts an output anew, once it is known that it can be built. Its predecessor gives what it has
    /// not delivered, and its state, to it.
    fn renew_output(&self, running: &mut Running, plan: &Arc<Plan>, output: &Arc<ConsumerPlan>) -> Change {
        if let Some(problem) = plan.try_build(&output.spec) {
            return Change::Kept(problem.to_string());
        }
        let predecessor = running.outputs.remove(&output.id);
        predecessor.iter().for_each(OutputHandle::stop);
        self.start_output(running, plan, output, predecessor).map_or_else(Change::Kept, |()| Change::Reloaded(Carried::default()))
    }

    /// Starts an input anew, once it is known that it can be built, where its predecessor stopped.
    fn renew_input(&self, running: &mut Running, plan: &Arc<Plan>, input: &InputPlan) -> Change {
        if let Some(problem) = plan.try_build(&input.spec) {
            return Change::Kept(problem.to_string());
        }
        let predecessor = running.inputs.remove(&input.id);
        predecessor.iter().for_each(|old| old.stop.ask());
        self.start_input(running, plan, input, predecessor).map_or_else(Change::Kept, |()| Change::Reloaded(Carried::default()))
    }

    /// Whether the content of a file the plugin was made of is another now. The new content counts
    /// as known from here on, so that a broken version is tried once. `hashes`: of files many plugins share.
    fn files_changed(&self, running: &mut Running, id: &Arc<str>, whose: Made, hashes: &mut HashMap<PathBuf, u64>) -> bool {
        let shared = running.standing(id).shared;
        let known = shared.files_of(whose);
        let now: Vec<(PathBuf, u64)> =
            known.iter().map(|(f, _)| (f.clone(), *hashes.entry(f.clone()).or_insert_with(|| hash(f)))).collect();
        let changed = now != known;
        if changed {
            shared.set_files(whose, now);
        }
        changed
    }
}

/// What becomes of codecs whose new version has these problems.
fn change_of(mut problems: impl Iterator<Item = Problem>) -> Change {
    problems.next().map_or_else(|| Change::Reloaded(Carried::default()), |problem| Change::Kept(problem.to_string()))
}

/// Has a filter's worker let it go; the channel closes when it is gone.
fn remove_filter(running: &mut Running, filter: FilterHandle) -> Receiver<()> {
    let (gone, closed) = bounded(0);
    running.workers[filter.worker].filters -= 1;
    running.workers[filter.worker].inbox.send(Command::Remove { slot: filter.slot, gone });
    running.leaving.filter(filter.plan.id.clone(), filter.worker, closed.clone());
    closed
}
