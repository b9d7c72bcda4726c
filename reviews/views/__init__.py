"""The portal's pages of this room."""
