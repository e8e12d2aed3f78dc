# SPDX-License-Identifier: GPL-3.0-or-later
"""What survives: journal and snapshot, artefact store, state folder, inbox and logs. Files only; knows no engine and no bpy."""
