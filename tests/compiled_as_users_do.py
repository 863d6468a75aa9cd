"""The compiler's options outside of tests, for what a test says of the program that users get."""

Options = dict[str, str | bool | int]

FUSED_AS_USERS_DO: Options = {"xla_cpu_use_fusion_emitters": True}
AS_USERS_DO: Options = FUSED_AS_USERS_DO | {"xla_backend_optimization_level": 3}
