"""``python -m scmnet_cli`` is ``scm``."""

from scmnet_cli.cli.main import main

if __name__ == "__main__":
    main()
