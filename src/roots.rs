//! The plugins of this VM: a root context each, with its settings.

use crate::metrics::{Label, LabelForm};
use crate::settings::Settings;

/// How often the filter's timer runs, in milliseconds: how late a last-seen time and mutual TLS counts may be.
pub const TICK_MILLISECONDS: u32 = 5_000;

/// A root that has not ticked for so long belongs to a plugin that was removed.
const PATIENCE_SECONDS: u64 = 16;

/// So many roots are kept: the ones that ticked last. A replaced root may still have connections.
const MOST: usize = 64;

/// A plugin.
#[derive(Debug)]
pub struct Root {
    /// Its context.
    pub context: u32,
    /// Its configuration.
    pub settings: Settings,
    /// How many problems the configuration has.
    pub problems: u64,
    /// The workload that this proxy serves; empty when it is not known.
    pub workload: String,
    /// Its namespace; empty when it is not known.
    pub namespace: String,
    /// When it was configured, or ticked last, in Unix seconds.
    pub alive: u64,
}

impl Root {
    /// A root before its configuration.
    pub fn new(context: u32) -> Root {
        Root {
            context,
            settings: Settings::default(),
            problems: 0,
            workload: String::new(),
            namespace: String::new(),
            alive: 0,
        }
    }

    /// Appends the destination's labels.
    pub fn push_destination(&self, into: &mut String, port: &str) {
        let form: LabelForm = self.settings.labels;
        form.push(into, Label::DestinationWorkload, &self.workload);
        form.push(into, Label::DestinationWorkloadNamespace, &self.namespace);
        form.push(into, Label::DestinationPort, port);
    }
}

/// All plugins of this VM.
#[derive(Debug, Default)]
pub struct Roots {
    roots: Vec<Root>,
}

impl Roots {
    /// A root context was created.
    pub fn create(&mut self, context: u32) {
        if self.find(context).is_some() {
            return;
        }
        if self.roots.len() >= MOST {
            let oldest = self
                .roots
                .iter()
                .enumerate()
                .min_by_key(|(_, root)| root.alive);
            if let Some((at, _)) = oldest {
                self.roots.remove(at);
            }
        }
        self.roots.push(Root::new(context));
    }

    /// The root of a context.
    pub fn find(&self, context: u32) -> Option<&Root> {
        self.roots.iter().find(|root| root.context == context)
    }

    /// The same, to change it.
    pub fn find_mut(&mut self, context: u32) -> Option<&mut Root> {
        self.roots.iter_mut().find(|root| root.context == context)
    }

    /// Problems of all configurations in force: a replaced plugin's root is told by its silence. The host's
    /// word for it is `proxy_on_done`, and a module that exports that is entered for each stream's end too
    /// (<https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/context.cc>, `onDone`).
    pub fn problems(&self, now: u64) -> u64 {
        self.roots
            .iter()
            .filter(|root| now.saturating_sub(root.alive) <= PATIENCE_SECONDS)
            .fold(0, |sum, root| sum.saturating_add(root.problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_roots_in_force_have_problems() {
        let mut roots = Roots::default();
        for (context, problems, alive) in [(1, 2, 100), (2, 3, 100)] {
            roots.create(context);
            let root = roots.find_mut(context).unwrap();
            (root.problems, root.alive) = (problems, alive);
        }
        assert_eq!(roots.problems(101), 5);
        roots.find_mut(2).unwrap().alive = 120;
        assert_eq!(roots.problems(120), 3);
    }

    #[test]
    fn roots_are_bounded_and_the_living_stay() {
        let mut roots = Roots::default();
        roots.create(1);
        roots.find_mut(1).unwrap().alive = 1_000;
        for context in 2..500 {
            roots.create(context);
        }
        assert_eq!(roots.roots.len(), MOST);
        assert!(roots.find(1).is_some());
        assert!(roots.find(499).is_some());
    }
}
