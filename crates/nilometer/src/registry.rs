//! Every plugin the program is built with: the one place where the engine meets them.

use plugin::{Family, Kind, Registry};

pub fn registry() -> Registry {
    let listed = [inputs::KINDS, filters::KINDS, outputs::KINDS].into_iter().flatten().copied();
    Registry::new(codecs::kinds().chain(listed), codecs::PRESETS.iter().copied()).with_library(filters::library::KINDS)
}

/// `input.tail`.
pub fn full_name(kind: &Kind) -> String {
    format!("{}.{}", kind.family(), kind.name)
}

/// Finds a kind by its full name, `input.tail`.
pub fn find(registry: &Registry, name: &str) -> Option<&'static Kind> {
    let (family, kind) = name.split_once('.')?;
    registry.kind(Family::from_name(family)?, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        let registry = registry();
        for kind in registry.kinds() {
            assert!(std::ptr::eq(find(&registry, &full_name(kind)).unwrap(), kind), "{kind:?} is there twice");
        }
        assert!(registry.kinds().len() > 20);
    }

    #[test]
    fn every_kind_speaks_for_itself() {
        let registry = registry();
        for kind in registry.kinds() {
            assert!(kind.summary.ends_with('.') && !kind.doc.is_empty(), "{kind:?} lacks a summary or a description");
            for opt in kind.options {
                assert!(opt.doc.ends_with(['.', ')', '`']), "{kind:?}: `{}` lacks a description in full sentences", opt.name);
            }
        }
    }
}
