// What the pages do beyond HTML: local times, copying, leaving Airflow's frame, forms that send themselves, evidence.
import "./style.css";
import { localTimes } from "./times";
import { copyButtons } from "./copy";
import { leaveFrame } from "./frame";
import { forms } from "./forms";
import { documents } from "./evidence";

localTimes(document);
copyButtons(document);
leaveFrame(document);
forms(document);
documents(document);
document.documentElement.dataset.ready = "true";
