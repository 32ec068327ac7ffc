use crate::{Family, Kind, Preset};

/// All kinds and presets the program was built with, from explicit lists.
#[derive(Clone, Default, Debug)]
pub struct Registry {
    kinds: Vec<&'static Kind>,
    presets: Vec<&'static Preset>,
    library: Option<Library>,
}

/// Further kinds, each of which is made when it is asked for: to make them all takes time and memory
/// that a running program does not spend.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    pub names: fn() -> Vec<(Family, &'static str)>,
    pub kind: fn(Family, &str) -> Option<&'static Kind>,
}

impl Registry {
    pub fn new(kinds: impl IntoIterator<Item = &'static Kind>, presets: impl IntoIterator<Item = &'static Preset>) -> Registry {
        let mut registry = Registry { kinds: kinds.into_iter().collect(), presets: presets.into_iter().collect(), library: None };
        registry.kinds.sort_by_key(|k| (k.family(), k.name));
        registry.presets.sort_by_key(|p| (p.family, p.name));
        registry
    }

    pub fn with_library(self, library: Library) -> Registry {
        Registry { library: Some(library), ..self }
    }

    /// All of them, by family, then by name; those of the library are made for it.
    pub fn kinds(&self) -> Vec<&'static Kind> {
        let made = self.further().filter_map(|(family, name)| self.kind(family, name));
        let mut all: Vec<_> = self.kinds.iter().copied().chain(made).collect();
        all.sort_by_key(|k| (k.family(), k.name));
        all
    }

    /// Those that need not be made: all but the library's.
    pub fn constants(&self) -> &[&'static Kind] {
        &self.kinds
    }

    pub fn presets(&self) -> &[&'static Preset] {
        &self.presets
    }

    pub fn kind(&self, family: Family, name: &str) -> Option<&'static Kind> {
        let constant = self.kinds.iter().find(|k| k.family() == family && k.name == name).copied();
        constant.or_else(|| (self.library?.kind)(family, name))
    }

    pub fn preset(&self, family: Family, name: &str) -> Option<&'static Preset> {
        self.presets.iter().find(|p| p.family == family && p.name == name).copied()
    }

    /// Names of a family's kinds, sorted.
    pub fn names(&self, family: Family) -> Vec<&'static str> {
        let all = self.kinds.iter().map(|k| (k.family(), k.name)).chain(self.further());
        let mut names: Vec<_> = all.filter(|(of, _)| *of == family).map(|(_, name)| name).collect();
        names.sort_unstable();
        names
    }

    /// Names of a family's presets.
    pub fn preset_names(&self, family: Family) -> impl Iterator<Item = &'static str> + '_ {
        self.presets.iter().filter(move |p| p.family == family).map(|p| p.name)
    }

    /// What is in the library.
    fn further(&self) -> impl Iterator<Item = (Family, &'static str)> {
        self.library.into_iter().flat_map(|library| (library.names)())
    }
}
