"""Access policies: on what terms somebody who holds the permission may read, pull or score a model."""
