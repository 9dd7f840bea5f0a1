// Small comforts: filters apply when changed, a form cannot be sent twice, a dangerous button asks once more.

export function forms(root: ParentNode): void {
  for (const form of root.querySelectorAll<HTMLFormElement>("form[data-apply]")) {
    form.addEventListener("change", (event) => {
      if (event.target instanceof HTMLSelectElement || (event.target as HTMLInputElement).type === "date") form.requestSubmit();
    });
  }
  for (const form of root.querySelectorAll<HTMLFormElement>("form[method=get]")) {
    form.addEventListener("formdata", (event) => {
      for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name); // short addresses
    });
  }
  for (const form of root.querySelectorAll<HTMLFormElement>("form[method=post]")) {
    form.addEventListener("submit", (event) => {
      const sure = (event.submitter as HTMLElement | null)?.dataset.confirm;
      if (form.dataset.sent || (sure && !window.confirm(sure))) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "true";
    });
  }
}
