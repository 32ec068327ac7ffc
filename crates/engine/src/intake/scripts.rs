use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plugin::{Build, Decoder, Scripted, Splitter};

use super::EngineIntake;
use super::stream::Stream;
use crate::codec::Codec;
use crate::keeper::Keeper;
use crate::status::Made;
use crate::supervise::contained;
use crate::watch;

/// The scripts among the input's codecs.
pub(super) struct Scripts {
    pub keeper: Keeper,
    /// There are any.
    pub any: bool,
    /// What they were made of.
    files: BTreeMap<PathBuf, u64>,
    /// Requests to look for changed ones, and how many of them were followed.
    renew: Arc<AtomicU64>,
    renewed: u64,
}

/// One stream's splitter and decoder.
type Codecs = (Box<dyn Splitter>, Codec<dyn Decoder>);

/// The input's own part of what is kept.
pub(crate) const OWN: &str = "input";

/// A codec's part, such as `decoder.nginx`.
pub(super) fn part_of(family: &str, name: &str) -> String {
    format!("{family}.{name}")
}

impl Scripts {
    pub fn new(keeper: Keeper, renew: Arc<AtomicU64>) -> Scripts {
        let renewed = renew.load(Ordering::Acquire);
        Scripts { keeper, any: false, files: BTreeMap::new(), renew, renewed }
    }
}

impl EngineIntake {
    /// A new splitter and decoder, this with what is kept under `key`.
    ///
    /// # Errors
    /// When one cannot be built.
    pub(super) fn codecs(&self, key: &str) -> Result<Codecs, String> {
        let splitter = &self.input.splitter;
        let Build::Splitter(split) = splitter.kind.build else { return Err(format!("{} is not a splitter", splitter.name)) };
        let split = split(&splitter.options, &self.plan.build_cx(splitter, &self.clock)).map_err(|p| p.to_string())?;
        let saved = if key.is_empty() { None } else { self.scripts.keeper.part(&self.decoder_key(key)) };
        Ok((split, Codec::new(self.decoder.clone(), saved)?))
    }

    /// Name under which the state of a stream's decoder is kept.
    pub(super) fn decoder_key(&self, key: &str) -> String {
        format!("{} {key}", part_of("decoder", &self.input.decoder.name))
    }

    /// Tells what scripts were made of, as far as it is not known; with those of a decoder at hand.
    pub(super) fn list_files(&mut self, decoders: &[&Codec<dyn Decoder>]) {
        let mut files: BTreeMap<PathBuf, u64> = std::mem::take(&mut self.scripts.files);
        let transforms = self.transforms.iter().flat_map(|t| t.files());
        files.extend(decoders.iter().flat_map(|d| d.files()).chain(transforms).cloned());
        self.scripts.any |= decoders.iter().any(|d| d.is_scripted()) || self.transforms.iter().any(Codec::is_scripted);
        self.standing.shared.set_files(Made::Codecs, files.iter().map(|(f, h)| (f.clone(), *h)).collect());
        self.scripts.files = files;
    }

    /// Tells what a stream's decoder was made of, if that is news.
    pub(super) fn watch_decoder(&mut self, decoder: &Codec<dyn Decoder>) {
        if decoder.files().iter().any(|(f, h)| self.scripts.files.get(f) != Some(h)) {
            self.list_files(&[decoder]);
        }
    }

    /// Reports the limits of a decoder as soon as there is one.
    pub(super) fn look_at_first(&mut self) {
        if self.scripts.any && !self.scripts.keeper.knows(&part_of("decoder", &self.input.decoder.name)) {
            self.look(None, false);
        }
    }

    /// Takes changed scripts into service when a reload asked for it.
    pub(super) fn renew(&mut self) {
        // Everything an input does passes here.
        self.standing.shared.beat();
        let wanted = self.scripts.renew.load(Ordering::Acquire);
        if wanted != self.scripts.renewed {
            self.scripts.renewed = wanted;
            self.renew_all();
        }
    }

    #[cold]
    fn renew_all(&mut self) {
        let mut hashes = HashMap::new();
        self.transforms.iter_mut().for_each(|t| t.renew(&mut hashes));
        for stream in self.streams.iter_mut() {
            stream.decoder.renew(&mut hashes);
        }
        let mut files: BTreeMap<PathBuf, u64> = BTreeMap::new();
        for (file, hash) in self.streams.iter().flat_map(|s| s.decoder.files()) {
            files.insert(file.clone(), *hash);
        }
        // Without a stream, the decoder's files are those that were known, with what they hold now.
        for file in std::mem::take(&mut self.scripts.files).into_keys() {
            files.entry(file.clone()).or_insert_with(|| *hashes.entry(file.clone()).or_insert_with(|| watch::hash(&file)));
        }
        self.scripts.files = files;
        self.list_files(&[]);
    }

    /// Reports limits of scripts and saves their states, as far as that is due.
    pub(super) fn look(&mut self, own: Option<&mut dyn Scripted>, last: bool) {
        let keeper = &mut self.scripts.keeper;
        keeper.begin(self.clock.steady(), last);
        if let Some(script) = own {
            keeper.visit("", OWN, script);
        }
        for transform in &mut self.transforms {
            let part = part_of("transform", transform.name());
            if let Some(script) = transform.script() {
                keeper.visit(&part, &part, script);
            }
        }
        let part = part_of("decoder", &self.input.decoder.name);
        for stream in self.streams.iter_mut() {
            let key = if stream.key.is_empty() { String::new() } else { format!("{part} {}", stream.key) };
            if let Some(script) = stream.decoder.script() {
                keeper.visit(&part, &key, script);
            }
        }
        keeper.done();
    }

    pub(super) fn look_if_due(&mut self) {
        if self.scripts.any && self.clock.steady() >= self.scripts.keeper.next() {
            self.look(None, false);
        }
    }

    /// Restores the input's own script, and watches what it is made of.
    pub(super) fn adopt_own(&mut self, script: &mut dyn Scripted) {
        let files = script.files().into_iter().map(|f| (f.clone(), watch::hash(&f))).collect();
        self.standing.shared.set_files(Made::Own, files);
        let keeper = &self.scripts.keeper;
        if let Some(saved) = keeper.part(OWN).filter(|s| !s.is_empty()) {
            match contained(|| script.restore(saved)).and_then(|r| r) {
                Ok(carried) => log::info!(target: &self.input.id, "goes on{}", crate::reload::carried(&carried)),
                Err(why) => log::warn!(target: &self.input.id, "starts without its saved state: {why}"),
            }
        }
        self.look(Some(script), false);
    }

    /// Saves the state of a decoder whose stream is closed.
    pub(super) fn part_with(&mut self, stream: &mut Stream) {
        if stream.key.is_empty() {
            return;
        }
        let (part, key) = (part_of("decoder", &self.input.decoder.name), self.decoder_key(&stream.key));
        if let Some(script) = stream.decoder.script() {
            let keeper = &mut self.scripts.keeper;
            keeper.begin(self.clock.steady(), true);
            keeper.visit(&part, &key, script);
            keeper.done();
        }
    }
}
