"""The gateway's shell: it carries out what the handshake decides, with a journal and a spool."""
