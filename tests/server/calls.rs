//! Python calls over the server: the stub under the interpreters of this machine.
