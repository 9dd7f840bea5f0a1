// Lets staff attach a document as evidence: its SHA-256 goes into the form, the document itself stays where it is.

const LARGEST = 512 * 2 ** 20; // bytes; it is read into memory to be hashed

async function sha256(file: File): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Put a file picker beside every field with `data-document`; without a secure origin there is nothing to hash with. */
export function documents(root: ParentNode): void {
  if (!window.crypto?.subtle) return;
  for (const field of root.querySelectorAll<HTMLInputElement>("input[data-document]")) {
    const label = document.createElement("label");
    label.textContent = field.dataset.document ?? "";
    const picker = document.createElement("input"); // without a name: a form never sends it
    picker.type = "file";
    const status = document.createElement("span");
    status.setAttribute("role", "status");
    status.className = "muted";
    picker.addEventListener("change", async () => {
      const file = picker.files?.[0];
      if (!file) return;
      field.value = "";
      status.textContent = "Reading…";
      try {
        if (file.size > LARGEST) throw new Error("larger than 512 MiB: use sha256sum");
        const digest = await sha256(file);
        if (picker.files?.[0] !== file) return;
        field.value = digest;
        status.textContent = "Its digest is in the field above; the document stays with you.";
      } catch (error) {
        status.textContent = `Not read: ${error instanceof Error ? error.message : "unknown"}`;
      }
    });
    label.append(picker);
    const line = document.createElement("p");
    line.append(label, " ", status);
    field.after(line);
  }
}
