//! The chosen paths as one tree of names, so that they are walked as one.

use crate::format::tree::is_valid_name;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A directory above or at a chosen path.
#[derive(Debug, Default, Clone)]
pub(super) struct RootTree {
    /// Whether the path to here was chosen: everything below is wanted.
    pub(super) chosen: bool,
    /// The names that lead on, if it was not.
    pub(super) children: BTreeMap<Vec<u8>, Arc<RootTree>>,
}

impl RootTree {
    /// Joins the paths; those that lie inside others vanish in them.
    ///
    /// Returns the paths that are not absolute or name `..` besides.
    pub(super) fn new(roots: &[Vec<u8>]) -> (Self, Vec<Vec<u8>>) {
        let mut tree = Self::default();
        let mut refused = Vec::new();
        for root in roots {
            match components(root) {
                Some(names) => tree.insert(&names),
                None => refused.push(root.clone()),
            }
        }
        (tree, refused)
    }

    /// The chosen paths at and below this one, which is `path`.
    pub(super) fn chosen_paths(&self, path: &[u8]) -> Vec<Vec<u8>> {
        if self.chosen {
            return vec![path.to_vec()];
        }
        let below = |(name, child): (&Vec<u8>, &Arc<Self>)| {
            child.chosen_paths(&[path, b"/", name.as_slice()].concat())
        };
        self.children.iter().flat_map(below).collect()
    }

    fn insert(&mut self, names: &[&[u8]]) {
        if self.chosen {
            return;
        }
        let Some((first, rest)) = names.split_first() else {
            self.chosen = true;
            self.children.clear();
            return;
        };
        let child = self.children.entry(first.to_vec()).or_default();
        Arc::make_mut(child).insert(rest);
    }
}

fn components(path: &[u8]) -> Option<Vec<&[u8]>> {
    let relative = path.strip_prefix(b"/")?;
    let parts = relative.split(|byte| *byte == b'/');
    let names: Vec<&[u8]> = parts.filter(|part| !part.is_empty() && *part != b".").collect();
    let valid = names.len() <= DEPTH_MAX && names.iter().all(|name| is_valid_name(name));
    valid.then_some(names)
}

/// Deepest directory that is walked; readers of trees go no deeper.
pub(super) const DEPTH_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(roots: &[&str]) -> (RootTree, usize) {
        let roots: Vec<Vec<u8>> = roots.iter().map(|root| root.as_bytes().to_vec()).collect();
        let (tree, refused) = RootTree::new(&roots);
        (tree, refused.len())
    }

    #[track_caller]
    fn check(roots: &[&str], expected: &[&str]) {
        let found = tree(roots).0.chosen_paths(b"");
        let expected: Vec<Vec<u8>> = expected.iter().map(|path| path.as_bytes().to_vec()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn roots_inside_others_are_merged() {
        check(&["/home/u/docs", "/etc", "/home/u"], &["/etc", "/home/u"]);
        check(&["/a/b", "/a", "/a/b/c"], &["/a"]);
        check(&["/a", "/"], &[""]);
    }

    #[test]
    fn empty_and_dot_components_do_not_count() {
        check(&["//a/./b//", "/a/b"], &["/a/b"]);
    }

    #[test]
    fn relative_paths_and_parent_components_are_refused() {
        assert_eq!(tree(&["a", "/a/../b", ""]).1, 3);
    }
}
