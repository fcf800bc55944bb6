//! What programs find that are run.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::Paths;
use crate::config::paths::user;

/// Where programs are looked for.
pub(super) const PATH: &str = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// The LANG of programs. Not that of who calls `hooks test`: a service has none, and a test shows what will happen.
const LANG: &str = if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" };

/// What all hooks have in common. Found out once: the user database may be slow to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookContext {
    /// HOME, USER and LANG of the programs.
    pub(super) variables: [(&'static str, OsString); 3],
    /// Programs are run as root: nobody else may be able to change them.
    pub(super) as_root: bool,
    /// The configuration file, which says what is run.
    pub(super) config_file: PathBuf,
}

impl HookContext {
    /// What the process's environment and the user database say.
    #[must_use]
    pub fn new(paths: &Paths) -> Self {
        // SAFETY: geteuid has no preconditions and can't fail.
        let uid = paths.owner.map_or_else(|| unsafe { libc::geteuid() }, |owner| owner.uid);
        let entry = user(uid);
        // Root's own variables say nothing about who called sudo.
        let variable = |name| if paths.owner.is_none() { std::env::var_os(name) } else { None };
        let home = variable("HOME").or_else(|| Some(entry.as_ref()?.home.clone()?.into_os_string()));
        let user_name = entry.map(|user| user.name).or_else(|| variable("USER"));
        Self {
            variables: [
                ("HOME", home.unwrap_or_else(|| "/".into())),
                ("USER", user_name.unwrap_or_else(|| uid.to_string().into())),
                ("LANG", LANG.into()),
            ],
            as_root: paths.root && paths.owner.is_none(),
            config_file: std::path::absolute(&paths.config_file)
                .unwrap_or_else(|_| paths.config_file.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Owner;

    #[test]
    fn under_sudo_a_program_finds_the_invoking_user_and_root_needs_a_guard() {
        let owner = Owner { uid: 4_321, gid: 4_322 };
        let context = HookContext::new(&Paths { owner: Some(owner), ..Paths::default() });
        assert!(!context.as_root);
        assert_eq!(context.variables[0].1, "/", "nobody knows that user, and HOME is root's");
        assert_eq!(context.variables[1].1, "4321");
        assert!(HookContext::new(&Paths { root: true, ..Paths::default() }).as_root);
    }
}
