//! Call Python on machines that have only sshd and Python.
