"""What users copy into their settings, made so that a token and a name reach this registry alone.

Every client has a public registry as its default. So a token is always bound to our URL, a scope
names us both for reading and for publishing, and what has no scope names us in the command itself.
Sources: https://doc.rust-lang.org/cargo/reference/config.html,
https://yarnpkg.com/configuration/yarnrc, `npm help npmrc`
"""

from urllib.parse import urlsplit

REGISTRY = "packledger"
"""What they call this registry in cargo's configuration."""


class Recipes:
    """The recipes of one registry. Texts that end with `=` or `: ` want a token there.

    npm: the URL for the clients of npm. Its last slash matters: npm finds no token without it.
    """

    def __init__(self, public_url: str) -> None:
        self.npm = f"{public_url}/npm/"
        self._index = f"sparse+{public_url}/cargo/index/"
        parts = urlsplit(public_url)
        self._plain_host = parts.hostname if parts.scheme == "http" else None
        self.npm_login = f"npm login --registry {self.npm}"
        self.npm_token = f"{self.npm.partition(':')[2]}:_authToken="
        self.cargo_login = f"cargo login --registry {REGISTRY}"
        self.cargo_publish = f"cargo publish --registry {REGISTRY}"
        self.publish_config = f'"publishConfig": {{ "registry": "{self.npm}" }}'

    @property
    def cargo_config(self) -> str:
        """`~/.cargo/config.toml`. A private registry needs the provider, which harms no other."""
        return (
            f'[registries.{REGISTRY}]\nindex = "{self._index}"\ncredential-provider = "cargo:token"'
        )

    def cargo_dependency(self, name: str, version: str) -> str:
        """Return a line below `[dependencies]`."""
        return f'{name} = {{ version = "{version}", registry = "{REGISTRY}" }}'

    def npmrc(self, scope: str) -> str:
        """Return `.npmrc` for a scope, with its `@`.

        Without the second line `npm install` tells npm's default registry, for an audit, which
        packages of ours a project has.
        """
        return f"{scope}:registry={self.npm}\naudit=false"

    def pnpm_workspace(self, names: str) -> str:
        """Return `pnpm-workspace.yaml`. Without it pnpm prefers versions that are a day old."""
        return f'minimumReleaseAgeExclude: ["{names}"]'

    def yarnrc(self, scope: str) -> str:
        """Return `.yarnrc.yml` for a scope, with its `@`; without one for all packages.

        yarn berry publishes to its own default unless told; it takes a version of today for none,
        and asks for `restricted` packages in a scope.
        """
        indent = "    " if scope else ""
        lines = ["npmScopes:", f"  {scope.removeprefix('@')}:"] if scope else []
        lines += [
            f'{indent}npmRegistryServer: "{self.npm}"',
            f'{indent}npmPublishRegistry: "{self.npm}"',
            f"{indent}npmMinimalAgeGate: 0",
            "npmPublishAccess: public",
        ]
        if self._plain_host:
            lines.append(f'unsafeHttpWhitelist: ["{self._plain_host}"]')
        return "\n".join(lines)

    @property
    def yarn_token(self) -> str:
        """`~/.yarnrc.yml`. A token without a registry would go wherever berry publishes."""
        return f'npmRegistries:\n  "{self.npm}":\n    npmAlwaysAuth: true\n    npmAuthToken: '

    def installing(self, name: str, exact: str) -> dict[str, str]:
        """Return what installs an npm package: a client or the file to be written → the text.

        exact: the name with the version that is meant, if it is not the newest.
        """
        if name.startswith("@"):
            scope = name.partition("/")[0]
            return {
                ".npmrc": self.npmrc(scope),
                "npm": f"npm install {exact}",
                "yarn 1": f"yarn add {exact}",
                "bun": f"bun add {exact}",
                "pnpm-workspace.yaml": self.pnpm_workspace(f"{scope}/*"),
                "pnpm": f"pnpm add {exact}",
                ".yarnrc.yml": self.yarnrc(scope),
                "yarn berry": f"yarn add {exact}",
            }
        # A setting for names without a scope would be one for all of them.
        here = f"--registry {self.npm}"
        return {
            "npm": f"npm install {exact} {here}",
            "yarn 1": f"yarn add {exact} {here}",
            "bun": f"bun add {exact} {here}",
            "pnpm-workspace.yaml": self.pnpm_workspace(name),
            "pnpm": f"pnpm add {exact} {here}",
            ".yarnrc.yml": self.yarnrc(""),
            "yarn berry": f"yarn add {exact}",
        }
