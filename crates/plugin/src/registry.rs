use crate::{Family, Kind, Preset};

/// All kinds and presets the program was built with, from explicit lists.
#[derive(Clone, Default, Debug)]
pub struct Registry {
    kinds: Vec<&'static Kind>,
    presets: Vec<&'static Preset>,
}

impl Registry {
    pub fn new(kinds: impl IntoIterator<Item = &'static Kind>, presets: impl IntoIterator<Item = &'static Preset>) -> Registry {
        let mut registry = Registry { kinds: kinds.into_iter().collect(), presets: presets.into_iter().collect() };
        registry.kinds.sort_by_key(|k| (k.family(), k.name));
        registry.presets.sort_by_key(|p| (p.family, p.name));
        registry
    }

    /// By family, then by name.
    pub fn kinds(&self) -> &[&'static Kind] {
        &self.kinds
    }

    pub fn presets(&self) -> &[&'static Preset] {
        &self.presets
    }

    pub fn kind(&self, family: Family, name: &str) -> Option<&'static Kind> {
        self.kinds.iter().find(|k| k.family() == family && k.name == name).copied()
    }

    pub fn preset(&self, family: Family, name: &str) -> Option<&'static Preset> {
        self.presets.iter().find(|p| p.family == family && p.name == name).copied()
    }

    /// Names of a family's kinds.
    pub fn names(&self, family: Family) -> impl Iterator<Item = &'static str> + '_ {
        self.kinds.iter().filter(move |k| k.family() == family).map(|k| k.name)
    }

    /// Names of a family's presets.
    pub fn preset_names(&self, family: Family) -> impl Iterator<Item = &'static str> + '_ {
        self.presets.iter().filter(move |p| p.family == family).map(|p| p.name)
    }
}
