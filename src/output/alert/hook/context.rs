//! As whom programs are run, and what they find.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::config::paths::user;
use crate::config::{Owner, Paths};

/// Where programs are looked for.
pub(super) const PATH: &str = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// What all hooks have in common. Found out once: the user database may be slow to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookContext {
    /// HOME, USER and LANG of the programs.
    pub(super) variables: [(&'static str, OsString); 3],
    /// As whom programs are run, where that is somebody other than this process's user.
    pub(super) run_as: Option<RunAs>,
    /// Programs are run as root: nobody else may be able to change them.
    pub(super) as_root: bool,
    /// The configuration file, which says what is run.
    pub(super) config_file: PathBuf,
}

/// A user with all of its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunAs {
    pub(super) owner: Owner,
    pub(super) groups: Vec<libc::gid_t>,
}

impl HookContext {
    /// What the process's environment and the user database say. Under sudo programs are run as the invoking user.
    #[must_use]
    pub fn new(paths: &Paths) -> Self {
        // SAFETY: geteuid has no preconditions and can't fail.
        let uid = paths.owner.map_or_else(|| unsafe { libc::geteuid() }, |owner| owner.uid);
        let entry = user(uid);
        let name = entry.as_ref().map(|user| user.name.clone());
        // Root's own variables say nothing about who called sudo.
        let variable = |name| if paths.owner.is_none() { std::env::var_os(name) } else { None };
        let home = variable("HOME").or_else(|| Some(entry.as_ref()?.home.clone()?.into_os_string()));
        let user_name = name.clone().or_else(|| variable("USER"));
        let lang = std::env::var_os("LANG").filter(|lang| !lang.is_empty());
        let default_lang = if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" };
        Self {
            variables: [
                ("HOME", home.unwrap_or_else(|| "/".into())),
                ("USER", user_name.unwrap_or_else(|| uid.to_string().into())),
                ("LANG", lang.unwrap_or_else(|| default_lang.into())),
            ],
            run_as: paths.owner.map(|owner| RunAs { owner, groups: groups(name, owner.gid) }),
            as_root: paths.root && paths.owner.is_none(),
            config_file: std::path::absolute(&paths.config_file)
                .unwrap_or_else(|_| paths.config_file.clone()),
        }
    }
}

/// All groups of a user; its first one alone where the database does not say.
fn groups(name: Option<OsString>, first: u32) -> Vec<libc::gid_t> {
    #[cfg(target_os = "macos")]
    type Group = libc::c_int;
    #[cfg(not(target_os = "macos"))]
    type Group = libc::gid_t;
    /// As many as macOS takes; more would be refused there.
    const MOST: usize = if cfg!(target_os = "macos") { 16 } else { 1_024 };
    let Some(name) = name.and_then(|name| CString::new(name.into_vec()).ok()) else { return vec![first] };
    let mut found: Vec<Group> = vec![0; MOST];
    let mut count = MOST as libc::c_int;
    // SAFETY: `name` is a C string, `found` has room for the `count` that is said.
    unsafe { libc::getgrouplist(name.as_ptr(), first as Group, found.as_mut_ptr(), &raw mut count) };
    found.truncate(usize::try_from(count).unwrap_or(0).min(MOST));
    if found.is_empty() { vec![first] } else { found.into_iter().map(|group| group as libc::gid_t).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn under_sudo_a_program_is_run_as_the_invoking_user_and_root_needs_no_guard() {
        let owner = Owner { uid: 4_321, gid: 4_322 };
        let paths = Paths { owner: Some(owner), root: true, ..Paths::default() };
        let context = HookContext::new(&paths);
        let run_as = context.run_as.clone().unwrap();
        assert_eq!((run_as.owner, &run_as.groups[..], context.as_root), (owner, &[4_322][..], false));
        assert_eq!(context.variables[0].1, "/", "nobody knows that user, and HOME is root's");
        assert_eq!(context.variables[1].1, "4321");
        let root = HookContext::new(&Paths { root: true, ..Paths::default() });
        assert_eq!((root.run_as, root.as_root), (None, true));
    }

    #[test]
    fn a_user_s_groups_are_found_with_the_first_among_them() {
        assert!(groups(Some("root".into()), 0).contains(&0));
        assert_eq!(groups(Some("nobody-of-that-name".into()), 7), [7]);
        assert_eq!(groups(None, 7), [7]);
    }
}
