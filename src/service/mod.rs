//! The standalone server as a service that starts at boot: installs, starts, stops and removes it
//! with whatever the system has for that.
mod systemd;
mod sysv;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use service_manager::{
    RestartPolicy, ServiceInstallCtx, ServiceLabel, ServiceLevel, ServiceManager,
    ServiceManagerKind, ServiceStartCtx, ServiceStatus, ServiceStatusCtx, ServiceStopCtx,
    ServiceUninstallCtx, TypedServiceManager,
};

use crate::keys::{Key, KeyError, write_key_file};
use crate::process;
pub use sysv::SysV;

/// The service's name.
pub const NAME: &str = "easycluster";

/// Why a service could not be dealt with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Services of the system are root's business.
    #[error(
        "{0} a service of this machine needs root; run it with sudo, or add --user for a service of your own"
    )]
    NotRoot(&'static str),
    /// Nothing on this system starts services that this program knows.
    #[error("this system has neither systemd nor another supported service manager: {0}")]
    NoManager(String),
    /// The service is not there.
    #[error("the service is not installed; install it with `easycluster service install`")]
    NotInstalled,
    /// This service manager has no services of users.
    #[error(
        "services of a user need systemd; install it for the whole machine, as root, without --user"
    )]
    NoUserServices,
    /// The key file could not be written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The service manager refused.
    #[error("{doing} the service failed: {error}")]
    Manager {
        /// What was being done, such as `installing`.
        doing: &'static str,
        /// What the service manager said.
        error: io::Error,
    },
}

/// What starts services here.
#[derive(Debug)]
enum Manager {
    Known(TypedServiceManager, ServiceManagerKind),
    SysV(SysV),
}

/// The service on this machine, installed or not.
#[derive(Debug)]
pub struct Service {
    manager: Manager,
    user: bool,
}

/// What a service is installed with.
#[derive(Debug)]
pub struct Installation {
    /// The program and its first arguments, such as `/usr/bin/easycluster`.
    pub program: Vec<OsString>,
    /// The server's options behind the key file.
    pub arguments: Vec<OsString>,
    /// The account that remote code runs as; None is root, or the user with a user's service.
    pub run_as: Option<String>,
    /// The key to use; None keeps the key file that is there or makes a new one.
    pub key: Option<Key>,
    /// Make a new key even if there is one.
    pub replace_key: bool,
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> ServiceError {
    move |error| {
        // Some managers answer in several lines; an error is one sentence.
        let said = error.to_string();
        let lines: Vec<_> = said
            .lines()
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect();
        ServiceError::Manager {
            doing,
            error: io::Error::new(error.kind(), lines.join("; ")),
        }
    }
}

impl Service {
    /// The service of the machine, or of the user who asks.
    ///
    /// # Errors
    /// Where no service manager is known.
    pub fn new(user: bool) -> Result<Self, ServiceError> {
        let manager = match ServiceManagerKind::native() {
            Ok(kind) => {
                let mut manager = TypedServiceManager::target(kind);
                if user {
                    manager
                        .set_level(ServiceLevel::User)
                        .map_err(|_| ServiceError::NoUserServices)?;
                }
                Manager::Known(manager, kind)
            }
            Err(_) if user => return Err(ServiceError::NoUserServices),
            Err(_) if Path::new("/etc/init.d").is_dir() => Manager::SysV(SysV::new(Path::new("/"))),
            Err(error) => return Err(ServiceError::NoManager(error.to_string())),
        };
        Ok(Service { manager, user })
    }

    /// Where the service's key is.
    pub fn key_path(&self) -> PathBuf {
        match (self.user, configuration_home()) {
            (true, Some(home)) => home.join("easycluster/service.key"),
            _ => PathBuf::from("/etc/easycluster_service.key"),
        }
    }

    /// Whether the service manager starts services of the machine as it runs now: a system may have the files of systemd and be a
    /// container, or be started by something else.
    pub(crate) fn is_started_here(&self) -> bool {
        match &self.manager {
            // As sd_booted(3) has it.
            Manager::Known(_, ServiceManagerKind::Systemd) => {
                Path::new("/run/systemd/system").is_dir()
            }
            _ => true,
        }
    }

    fn need_root(&self, doing: &'static str) -> Result<(), ServiceError> {
        #[cfg(unix)]
        if !self.user && !rustix::process::geteuid().is_root() {
            return Err(ServiceError::NotRoot(doing));
        }
        let _ = doing;
        Ok(())
    }

    /// The file by which the service manager knows the service.
    fn definition(&self) -> Option<PathBuf> {
        match &self.manager {
            Manager::SysV(sysv) => Some(sysv.script()),
            Manager::Known(_, ServiceManagerKind::Systemd) if self.user => {
                configuration_home().map(|home| home.join("systemd/user").join(UNIT))
            }
            Manager::Known(_, ServiceManagerKind::Systemd) => {
                Some(Path::new("/etc/systemd/system").join(UNIT))
            }
            Manager::Known(_, ServiceManagerKind::OpenRc) => Some("/etc/init.d/easycluster".into()),
            Manager::Known(_, ServiceManagerKind::Rcd) => {
                Some("/usr/local/etc/rc.d/easycluster".into())
            }
            Manager::Known(..) => None,
        }
    }

    /// Whether the service is installed.
    pub fn installed(&self) -> bool {
        match (&self.manager, self.definition()) {
            (_, Some(file)) => file.exists(),
            (Manager::Known(manager, _), None) => !matches!(
                manager.status(ServiceStatusCtx { label: label() }),
                Ok(ServiceStatus::NotInstalled) | Err(_)
            ),
            (Manager::SysV(_), None) => false,
        }
    }

    /// Whether the service runs.
    ///
    /// # Errors
    /// Where the service manager does not say.
    pub fn running(&self) -> Result<bool, ServiceError> {
        match &self.manager {
            Manager::SysV(sysv) => sysv.running().map_err(failed("asking after")),
            Manager::Known(manager, _) => manager
                .status(ServiceStatusCtx { label: label() })
                .map(|status| status == ServiceStatus::Running)
                .map_err(failed("asking after")),
        }
    }

    /// Writes the key file if there is none yet, then has the server started at every boot.
    ///
    /// # Errors
    /// Without the rights to do so, and where the service manager refuses; then nothing new stays.
    pub fn install(&self, installation: &Installation) -> Result<(), ServiceError> {
        self.need_root("installing")?;
        let key_is_new = self.provide_key(installation)?;
        let installed = self.register(installation);
        if installed.is_err() {
            if let Some(file) = self.definition() {
                let _ = std::fs::remove_file(file);
            }
            if key_is_new {
                self.remove_key();
            }
        }
        installed.map_err(failed("installing"))
    }

    /// Whether a key file came into being that was not there before.
    fn provide_key(&self, installation: &Installation) -> Result<bool, ServiceError> {
        let path = self.key_path();
        let existed = path.exists();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed("installing"))?;
        }
        match &installation.key {
            Some(key) => write_key_file(&path, key, true)?,
            None => write_key_file(&path, &Key::generate()?, installation.replace_key)?,
        };
        #[cfg(unix)]
        if let Some(name) = &installation.run_as {
            hand_over(&path, name).map_err(failed("installing"))?;
        }
        Ok(!existed)
    }

    fn register(&self, installation: &Installation) -> io::Result<()> {
        let mut words = installation.program.iter().cloned();
        let program = words.next().unwrap_or_default();
        let mut arguments: Vec<OsString> = words.collect();
        arguments.extend(["-S".into(), "-k".into(), self.key_path().into_os_string()]);
        arguments.extend(installation.arguments.iter().cloned());
        match &self.manager {
            Manager::SysV(sysv) => sysv.install(&program, &arguments),
            Manager::Known(manager, kind) => {
                let unit = (*kind == ServiceManagerKind::Systemd).then(|| {
                    systemd::unit(
                        &program,
                        &arguments,
                        installation.run_as.as_deref(),
                        self.user,
                    )
                });
                manager.install(ServiceInstallCtx {
                    label: label(),
                    program: program.into(),
                    args: arguments,
                    contents: unit,
                    username: installation.run_as.clone(),
                    working_directory: None,
                    environment: None,
                    autostart: true,
                    restart_policy: RestartPolicy::default(),
                })?;
                self.reload_manager(*kind);
                Ok(())
            }
        }
    }

    /// Has systemd read its files again. Where it does not run there is nothing to do.
    fn reload_manager(&self, kind: ServiceManagerKind) {
        if kind == ServiceManagerKind::Systemd {
            let mut command = process::program("systemctl");
            if self.user {
                command.arg("--user");
            }
            command.arg("daemon-reload");
            let _ = process::run(command);
        }
    }

    fn need_installed(&self, doing: &'static str) -> Result<(), ServiceError> {
        if !self.installed() {
            return Err(ServiceError::NotInstalled);
        }
        self.need_root(doing)
    }

    /// Stops the service and removes all that `install` made, the key file too.
    ///
    /// # Errors
    /// Where it is not installed, without the rights, and where the service manager refuses.
    pub fn uninstall(&self) -> Result<(), ServiceError> {
        self.need_installed("removing")?;
        // One that does not run cannot be stopped, and need not be.
        let _ = self.stop();
        match &self.manager {
            Manager::SysV(sysv) => sysv.uninstall(),
            Manager::Known(manager, kind) => manager
                .uninstall(ServiceUninstallCtx { label: label() })
                .map(|()| self.reload_manager(*kind)),
        }
        .map_err(failed("removing"))?;
        self.remove_key();
        Ok(())
    }

    fn remove_key(&self) {
        let path = self.key_path();
        let _ = std::fs::remove_file(&path);
        if let (true, Some(folder)) = (self.user, path.parent()) {
            // Only where nothing else is in it.
            let _ = std::fs::remove_dir(folder);
        }
    }

    /// Starts the service now.
    ///
    /// # Errors
    /// Where it is not installed, without the rights, and where the service manager refuses.
    pub fn start(&self) -> Result<(), ServiceError> {
        self.need_installed("starting")?;
        if !self.is_started_here() {
            // Asked in a chroot, it does nothing, and calls that well done.
            let error = io::Error::other("this machine was not started by systemd");
            return Err(failed("starting")(error));
        }
        match &self.manager {
            Manager::SysV(sysv) => sysv.start(),
            Manager::Known(manager, _) => manager.start(ServiceStartCtx { label: label() }),
        }
        .map_err(failed("starting"))
    }

    /// Stops the service now; it starts again at the next boot.
    ///
    /// # Errors
    /// Where it is not installed, without the rights, and where the service manager refuses.
    pub fn stop(&self) -> Result<(), ServiceError> {
        self.need_installed("stopping")?;
        match &self.manager {
            Manager::SysV(sysv) => sysv.stop(),
            Manager::Known(manager, _) => manager.stop(ServiceStopCtx { label: label() }),
        }
        .map_err(failed("stopping"))
    }
}

const UNIT: &str = "easycluster.service";

fn label() -> ServiceLabel {
    ServiceLabel {
        qualifier: None,
        organization: None,
        application: NAME.to_owned(),
    }
}

/// Where a user's configuration is, as systemd sees it.
fn configuration_home() -> Option<PathBuf> {
    std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".config")))
}

/// Makes the key file readable by the account that the server runs as.
#[cfg(unix)]
fn hand_over(path: &Path, name: &str) -> io::Result<()> {
    let mut chown = process::program("chown");
    chown.arg("--").arg(name).arg(path);
    let done = process::run(chown)?;
    if !done.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        ));
    }
    Ok(())
}
